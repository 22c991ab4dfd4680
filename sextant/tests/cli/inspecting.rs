//! Inspecting, verifying and unpacking.

use std::ffi::OsStr;
use std::fs::{self, File};

use northstar_npk::Package;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::{Sextant, fixture};

#[test]
fn a_flipped_bit_anywhere_in_the_image_is_refused_by_verify() {
    let sextant = Sextant::new();
    sextant.key();
    sextant.pack(&[
        "--out",
        "a.npk",
        "--key",
        "test.key",
        "--compression",
        "none",
    ]);
    let bytes = fs::read(sextant.path("a.npk")).unwrap();
    let file = File::open(sextant.path("a.npk")).unwrap();
    let image = Package::open(&file, None).unwrap().image().clone();
    let tree = image.verity.unwrap().tree_offset_in_image;
    for at in [
        100,
        image.offset,
        image.offset + 5000,
        image.offset + image.squashfs_size,
        image.offset + tree,
        image.offset + image.size - 1,
        bytes.len() as u64 - 1,
    ] {
        let mut changed = bytes.clone();
        changed[at as usize] ^= 4;
        fs::write(sextant.path("b.npk"), &changed).unwrap();
        sextant.fails(&["verify", "b.npk", "--key", "test.pub"]);
    }
    for length in [0, 1000, bytes.len() - 1] {
        fs::write(sextant.path("b.npk"), &bytes[..length]).unwrap();
        sextant.fails(&["verify", "b.npk", "--key", "test.pub"]);
    }
}

#[test]
fn reference_packages_are_inspected_verified_and_unpacked() {
    let sextant = Sextant::new();
    let key = fixture("fixture.pub");
    for name in [
        "app-gzip",
        "resource-gzip",
        "resource-gzip-0.9.1",
        "resource-lzo",
        "resource-xz",
        "resource-zstd",
    ] {
        let npk = fixture(&format!("{name}.npk"));
        let verify: [&OsStr; 4] = [
            "verify".as_ref(),
            npk.as_ref(),
            "--key".as_ref(),
            key.as_ref(),
        ];
        sextant.succeeds(&verify);
        let text = sextant.succeeds(&["inspect".as_ref(), npk.as_os_str()]);
        assert!(text.contains("/hello"), "{text}");
        let unpack: [&OsStr; 4] = [
            "unpack".as_ref(),
            npk.as_ref(),
            "--out".as_ref(),
            name.as_ref(),
        ];
        sextant.succeeds(&unpack);
        assert_eq!(sextant.names(name), ["manifest.yaml", "root"]);
        // Once is enough.
        sextant.fails(&unpack);
    }
}

#[test]
fn inspect_prints_one_json_object() {
    let sextant = Sextant::new();
    let npk = fixture("app-gzip.npk");
    let json = sextant.succeeds(&["inspect".as_ref(), "--json".as_ref(), npk.as_os_str()]);
    assert_eq!(json.lines().count(), 1);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["container"], "fixture-app:0.0.1");
    assert_eq!(json["format_version"], "0.9.2");
    assert_eq!(json["signed"], true);
    assert_eq!(
        json["hashes"]["verity"],
        "84e0c60ae052e7c651558852040cad4ef8deec27ee74b7d0532479ddb2337189"
    );
    assert_eq!(json["image"]["squashfs_size"], 4096);
    assert_eq!(json["manifest"]["init"], "/hello");
    let files = json["files"].as_array().unwrap();
    let find = |path: &str| files.iter().find(|file| file["path"] == path).unwrap();
    assert_eq!(find("/hello")["size"], 8824);
    assert_eq!(find("/dev/null")["minor"], 3);
    assert_eq!(find("/dev/fd")["target"], "/proc/self/fd");

    let npk = fixture("resource-unsigned.npk");
    let json = sextant.succeeds(&["inspect".as_ref(), "--json".as_ref(), npk.as_os_str()]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["signed"], &json["hashes"]),
        (&Value::Bool(false), &Value::Null)
    );
}

#[test]
fn inspect_says_who_signed() {
    let sextant = Sextant::new();
    for name in ["test", "other"] {
        sextant.succeeds(&["gen-key", "--name", name, "--out", "."]);
    }
    sextant.pack(&["--out", "a.npk", "--key", "test.key"]);
    let json = sextant.inspect("a.npk", &["--key", "other.pub", "--key", "test.pub"]);
    let signers = json["signers"].as_array().unwrap();
    let found: Vec<_> = signers
        .iter()
        .map(|signer| {
            (
                signer["key"].as_str().unwrap(),
                signer["verifies"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(found, [("other.pub", false), ("test.pub", true)]);
    let public = fs::read(sextant.path("test.pub")).unwrap();
    assert_eq!(signers[1]["public"], hex::encode(public));
    assert_eq!(signers[1]["reason"], Value::Null);

    let text = sextant.succeeds(&["inspect", "a.npk", "--key", "test.pub"]);
    assert!(text.contains("signed by:      test.pub ("), "{text}");
    let text = sextant.succeeds(&["inspect", "a.npk", "--key", "other.pub"]);
    assert!(text.contains("not valid for:  other.pub: "), "{text}");
    // A key that cannot be read is not a key that did not sign.
    sextant.fails(&["inspect", "a.npk", "--key", "missing.pub"]);

    sextant.pack(&["--out", "unsigned.npk"]);
    let json = sextant.inspect("unsigned.npk", &["--key", "test.pub"]);
    assert_eq!(
        (&json["signed"], &json["signers"][0]["verifies"]),
        (&Value::Bool(false), &Value::Bool(false))
    );
}

#[test]
fn inspect_hashes_files_on_request() {
    let sextant = Sextant::new();
    sextant.pack(&["--out", "a.npk"]);
    let find = |json: &Value| {
        let files = json["files"].as_array().unwrap();
        files
            .iter()
            .find(|file| file["path"] == "/hello")
            .unwrap()
            .clone()
    };
    assert_eq!(find(&sextant.inspect("a.npk", &[]))["sha256"], Value::Null);
    let file = find(&sextant.inspect("a.npk", &["--hashes"]));
    let expected = hex::encode(Sha256::digest(vec![b'h'; 10_000]));
    assert_eq!(file["sha256"], expected);
    let text = sextant.succeeds(&["inspect", "--hashes", "a.npk"]);
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn forms_of_inspect_exclude_each_other() {
    let sextant = Sextant::new();
    sextant.pack(&["--out", "a.npk"]);
    for forms in [
        ["--json", "--short"],
        ["--json", "--sbom"],
        ["--short", "--sbom"],
    ] {
        let arguments = [&["inspect", "a.npk"], &forms[..]].concat();
        let output = sextant.command(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

#[test]
fn unpack_checks_first_if_there_is_a_key() {
    let sextant = Sextant::new();
    sextant.key();
    sextant.pack(&[
        "--out",
        "a.npk",
        "--key",
        "test.key",
        "--compression",
        "none",
    ]);
    let unpack = |out| ["unpack", "a.npk", "--key", "test.pub", "--out", out];
    sextant.succeeds(&unpack("good"));
    assert!(sextant.path("good/root/hello").is_file());
    let mut bytes = fs::read(sextant.path("a.npk")).unwrap();
    let at = bytes
        .windows(16)
        .position(|bytes| bytes == [b'h'; 16])
        .unwrap();
    bytes[at] ^= 1;
    fs::write(sextant.path("a.npk"), bytes).unwrap();
    sextant.fails(&unpack("bad"));
    assert!(!sextant.path("bad").exists());
    // Without a key nobody asked.
    sextant.succeeds(&["unpack", "a.npk", "--out", "unchecked"]);
}

/// A hole costs the image nothing, and the disk everything.
#[test]
fn what_unpacking_and_hashing_may_take_is_limited() {
    let sextant = Sextant::new();
    let large = File::create(sextant.path("root/large")).unwrap();
    large.set_len(1 << 20).unwrap();
    sextant.pack(&["--out", "a.npk"]);
    let unpack = |more: &[&'static str]| [&["unpack", "a.npk", "--out", "unpacked"], more].concat();
    for limit in [["--max-size", "1MiB"], ["--max-files", "3"]] {
        sextant.fails(&unpack(&limit));
        assert!(!sextant.path("unpacked").exists());
    }
    let output = sextant
        .command(&unpack(&["--max-size", "huge"]))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    sextant.succeeds(&unpack(&["--max-size", "2MiB"]));
    assert_eq!(
        fs::metadata(sextant.path("unpacked/root/large"))
            .unwrap()
            .len(),
        1 << 20
    );
}

#[test]
fn hard_links_are_shown_as_such() {
    let sextant = Sextant::new();
    fs::hard_link(sextant.path("root/hello"), sextant.path("root/again")).unwrap();
    sextant.pack(&["--out", "a.npk"]);
    let json = sextant.inspect("a.npk", &["--hashes"]);
    let file = |path: &str| {
        let files = json["files"].as_array().unwrap();
        files.iter().find(|file| file["path"] == path).unwrap()
    };
    assert_eq!(file("/again")["link"], Value::Null);
    assert_eq!(file("/hello")["link"], "/again");
    assert_eq!(file("/hello")["sha256"], file("/again")["sha256"]);
    let shown = sextant.succeeds(&["inspect", "a.npk"]);
    assert!(shown.contains("/hello link to /again\n"), "{shown}");
}
