//! Bills of materials: packed, shown and checked.

use std::fs;

use northstar_manifest::Manifest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{MANIFEST, Sextant};

fn cyclone() -> String {
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "components": [{"type": "library", "name": "a"}, {"type": "library", "name": "b"}],
    })
    .to_string()
}

fn spdx() -> String {
    json!({"spdxVersion": "SPDX-2.3", "packages": [{"name": "a"}]}).to_string()
}

fn with_sbom(sbom: &str) -> Sextant {
    let sextant = Sextant::new();
    sextant.key();
    fs::write(sextant.path("sbom.json"), sbom).unwrap();
    sextant
}

#[test]
fn a_bill_of_materials_is_packed_shown_and_checked() {
    let cases = [
        (cyclone(), "cyclonedx", "1.6", "/sbom.cdx.json", 2),
        (spdx(), "spdx", "2.3", "/sbom.spdx.json", 1),
    ];
    for (sbom, format, version, path, components) in cases {
        let sextant = with_sbom(&sbom);
        sextant.pack(&["--out", "a.npk", "--key", "test.key", "--sbom", "sbom.json"]);
        let sha256 = hex::encode(Sha256::digest(sbom.as_bytes()));
        let record = json!({"format": format, "version": version, "path": path, "sha256": sha256});
        let json = sextant.inspect("a.npk", &[]);
        assert_eq!(json["manifest"]["custom"]["sbom"], record);
        let expected = json!({
            "record": record, "components": components, "matches": true, "reason": Value::Null,
        });
        assert_eq!(json["sbom"], expected);
        let text = sextant.succeeds(&["inspect", "a.npk"]);
        assert!(
            text.contains(&format!("{components} components, {path}")),
            "{text}"
        );
        assert_eq!(sextant.succeeds(&["inspect", "--sbom", "a.npk"]), sbom);
        sextant.succeeds(&["verify", "a.npk", "--key", "test.pub"]);
        sextant.succeeds(&["unpack", "a.npk", "--out", "unpacked"]);
        let unpacked = fs::read_to_string(sextant.path(&format!("unpacked/root{path}"))).unwrap();
        assert_eq!(unpacked, sbom);
    }
}

/// The signature of the packer does not make it true.
#[test]
fn a_bill_of_materials_that_is_not_the_one_of_the_manifest_is_refused() {
    let sextant = with_sbom(&cyclone());
    fs::create_dir(sextant.path("other")).unwrap();
    let pack = |manifest: &str| {
        fs::write(sextant.path("b.yaml"), manifest).unwrap();
        let pack = [
            "pack", "-m", "b.yaml", "-r", "other", "-k", "test.key", "-o", "b.npk",
        ];
        sextant.succeeds(&pack);
    };
    let sha256 = hex::encode(Sha256::digest(cyclone()));
    let manifest = |sha256: &str| {
        format!(
            "{MANIFEST}custom: {{sbom: {{format: cyclonedx, version: '1.6', path: /sbom.cdx.json, sha256: '{sha256}'}}}}\n"
        )
    };
    let refused = || {
        let reason = sextant.refused(&["verify", "b.npk", "--key", "test.pub"]);
        sextant.fails(&["inspect", "--sbom", "b.npk"]);
        let json = sextant.inspect("b.npk", &[]);
        assert_eq!(json["sbom"]["matches"], false);
        reason
    };
    // Not there at all.
    pack(&manifest(&sha256));
    assert!(refused().contains("/sbom.cdx.json"));
    // Another file.
    fs::write(sextant.path("other/sbom.cdx.json"), cyclone() + " ").unwrap();
    pack(&manifest(&sha256));
    assert!(refused().contains(&sha256));
    // Not a file.
    fs::remove_file(sextant.path("other/sbom.cdx.json")).unwrap();
    fs::create_dir(sextant.path("other/sbom.cdx.json")).unwrap();
    pack(&manifest(&sha256));
    refused();
    // Not in the documented form.
    pack(&format!(
        "{MANIFEST}custom: {{sbom: {{format: cyclonedx}}}}\n"
    ));
    refused();
    // The right file makes it valid.
    fs::remove_dir(sextant.path("other/sbom.cdx.json")).unwrap();
    fs::write(sextant.path("other/sbom.cdx.json"), cyclone()).unwrap();
    pack(&manifest(&sha256));
    sextant.succeeds(&["verify", "b.npk", "--key", "test.pub"]);
    // It is of another format or version.
    for (right, wrong) in [("cyclonedx", "spdx"), ("'1.6'", "'1.5'")] {
        pack(&manifest(&sha256).replace(right, wrong));
        assert!(refused().contains("CycloneDX 1.6"));
    }
    // Nobody says anything about a bill of materials.
    pack(&format!("{MANIFEST}custom: {{sbom: none}}\n"));
    sextant.succeeds(&["verify", "b.npk", "--key", "test.pub"]);
    let reason = sextant.refused(&["inspect", "--sbom", "b.npk"]);
    assert!(reason.contains("pack --sbom"), "{reason}");
}

#[test]
fn what_is_no_bill_of_materials_is_not_packed() {
    let sextant = with_sbom("{}");
    let pack = [
        "pack",
        "-m",
        "manifest.yaml",
        "-o",
        "a.npk",
        "--sbom",
        "sbom.json",
    ];
    for sbom in [
        "",
        "{}",
        "<bom/>",
        r#"{"bomFormat": "CycloneDX", "specVersion": "0.1"}"#,
    ] {
        fs::write(sextant.path("sbom.json"), sbom).unwrap();
        let reason = sextant.refused(&pack);
        assert!(reason.contains("sbom.json"), "{reason}");
    }
    fs::remove_file(sextant.path("sbom.json")).unwrap();
    sextant.fails(&pack);
    assert!(!sextant.path("a.npk").exists());
}

#[test]
fn custom_is_kept_and_never_overwritten() {
    let sextant = with_sbom(&spdx());
    let pack = [
        "pack",
        "-m",
        "manifest.yaml",
        "-o",
        "a.npk",
        "--sbom",
        "sbom.json",
    ];
    let write = |custom: &str| {
        let manifest = format!("{MANIFEST}custom: {custom}\n");
        fs::write(sextant.path("manifest.yaml"), manifest).unwrap();
    };
    write("{team: brakes}");
    sextant.succeeds(&pack);
    sextant.succeeds(&["unpack", "a.npk", "--out", "unpacked"]);
    let yaml = fs::read(sextant.path("unpacked/manifest.yaml")).unwrap();
    let custom = Manifest::from_yaml(&yaml).unwrap().custom.unwrap();
    assert_eq!(custom["team"], "brakes");
    assert_eq!(custom["sbom"]["format"], "spdx");
    fs::remove_file(sextant.path("a.npk")).unwrap();
    for (custom, says) in [
        ("[1]", "not a map"),
        ("text", "not a map"),
        ("{sbom: 1}", "already"),
    ] {
        write(custom);
        let reason = sextant.refused(&pack);
        assert!(reason.contains(says), "{reason}");
    }
    assert!(!sextant.path("a.npk").exists());
}

/// The tree has a file where the bill of materials goes.
#[test]
fn a_file_in_the_way_is_an_error() {
    let sextant = with_sbom(&spdx());
    fs::write(sextant.path("root/sbom.spdx.json"), "mine").unwrap();
    let pack = [
        "pack",
        "-m",
        "manifest.yaml",
        "-r",
        "root",
        "-o",
        "a.npk",
        "--sbom",
        "sbom.json",
    ];
    let reason = sextant.refused(&pack);
    assert!(reason.contains("sbom.spdx.json"), "{reason}");
    assert!(!sextant.path("a.npk").exists());
}

#[test]
fn clones_share_their_bill_of_materials() {
    let sextant = with_sbom(&spdx());
    sextant.pack(&[
        "--out",
        "out",
        "--key",
        "test.key",
        "--sbom",
        "sbom.json",
        "--clones",
        "2",
    ]);
    for name in sextant.names("out") {
        let npk = format!("out/{name}");
        sextant.succeeds(&["verify", &npk, "--key", "test.pub"]);
        assert_eq!(sextant.succeeds(&["inspect", "--sbom", &npk]), spdx());
    }
}
