//! Packages of the reference packer, and what protects them on which kernel.

use std::path::{Path, PathBuf};

use northstar_tests::{Integrity, Site, programs::workspace, residue};
use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    workspace().join("northstar-npk/tests/fixtures").join(name)
}

/// A site whose repository `reference` trusts the key of the reference packages.
fn reference_site(integrity: Integrity) -> Site {
    let key = fixture("fixture.pub");
    Site::new().tables(&format!(
        "[repositories.reference]\nkey = \"{}\"\nintegrity = \"{}\"\ntype = {{ fs = {{ dir = \"DIRECTORY/reference\" }} }}\n",
        key.display(),
        integrity.word()
    ))
}

fn run_reference_packages(integrity: Integrity) -> Vec<String> {
    let site = reference_site(integrity);
    let daemon = site.start();
    let mut console = daemon.console();
    for (package, container) in [
        ("resource-zstd.npk", "fixture-resource:0.1.0"),
        ("app-gzip.npk", "fixture-app:0.0.1"),
    ] {
        assert_eq!(
            console.install("reference", &fixture(package)),
            json!({"install": {"ok": {"container": container}}}),
            "{}",
            daemon.log()
        );
    }
    console.start_ok("fixture-app:0.0.1");
    assert_eq!(
        console.expect_exit("fixture-app:0.0.1"),
        json!({"exit": {"code": 7}})
    );
    daemon.expect_output("fixture-app:0.0.1", |line| {
        line == "hello from a 0.9.2 package"
    });
    let devices = verity_devices();
    daemon.stop();
    devices
}

/// Device-mapper devices of the daemon, by their uuid in sysfs, which names the kind of device.
fn verity_devices() -> Vec<String> {
    residue::mapped_devices().into_iter().collect()
}

#[test]
fn reference_packages_run_after_a_full_read() {
    let devices = run_reference_packages(Integrity::FullRead);
    assert!(
        devices.is_empty(),
        "full-read needs no device mapper: {devices:?}"
    );
}

#[test]
fn vm_reference_packages_run_through_dm_verity() {
    let devices = run_reference_packages(Integrity::DmVerity);
    assert_eq!(
        devices.len(),
        2,
        "one device for the app and one for its resource: {devices:?}"
    );
}

#[test]
fn every_compression_of_the_reference_packer_mounts() {
    for package in [
        "resource-gzip.npk",
        "resource-xz.npk",
        "resource-lzo.npk",
        "resource-zstd.npk",
        "resource-gzip-0.9.1.npk",
    ] {
        let site = reference_site(Integrity::available());
        let daemon = site.start();
        let mut console = daemon.console();
        let container = "fixture-resource:0.1.0";
        assert_eq!(
            console.install("reference", &fixture(package)),
            json!({"install": {"ok": {"container": container}}}),
            "{package}"
        );
        assert_eq!(
            console.mount(container),
            json!({"ok": {"container": container}}),
            "{package}"
        );
        daemon.stop();
    }
}

#[test]
fn unsigned_reference_package_is_refused_where_a_key_is_asked_for() {
    let site = reference_site(Integrity::available());
    let daemon = site.start();
    let mut console = daemon.console();
    let answer = console.install("reference", &fixture("resource-unsigned.npk"));
    assert!(
        answer.pointer("/install/error/error/unexpected").is_some(),
        "{answer}"
    );
    assert_eq!(console.request(&json!("list")), json!({"list": []}));
    daemon.stop();
}

#[test]
fn without_device_mapper_a_keyed_mount_is_refused() {
    let site = Site::new().integrity(Integrity::DmVerity);
    site.pack(&northstar_tests::Package::app("app", &["exit", "0"]));
    let daemon = site.start_without_device_mapper();
    let mut console = daemon.console();
    assert_eq!(
        console.request(&json!("list")),
        json!({"list": ["app:0.0.1"]})
    );
    for answer in [console.mount("app:0.0.1"), console.start("app:0.0.1")] {
        let text = answer.to_string();
        // The message is the product here: it has to name the feature and the remedy.
        for word in ["dm-verity", "full-read"] {
            assert!(text.contains(word), "{word} is not in {text}");
        }
        assert!(
            answer
                .pointer("/error/error")
                .or(answer.pointer("/start/error/error"))
                .is_some(),
            "{text}"
        );
    }
    assert!(daemon.mounts().is_empty());
    daemon.stop();
}

#[test]
fn configuration_without_integrity_means_dm_verity() {
    let inspect = |integrity: &str| {
        let site = Site::new().tables(&format!(
            "[repositories.other]\nkey = \"DIRECTORY/test.pub\"\n{integrity}\ntype = {{ fs = {{ dir = \"DIRECTORY/other\" }} }}\n"
        ));
        std::fs::create_dir(site.path().join("other")).unwrap();
        northstar_tests::Package::app("app", &["exit", "0"])
            .pack(&site.path().join("other"), Some(&site.key()));
        let daemon = site.start_without_device_mapper();
        let answer = daemon.console().mount("app:0.0.1");
        daemon.stop();
        answer
    };
    assert!(inspect("").get("error").is_some());
    assert_eq!(
        inspect("integrity = \"full-read\"").get("ok"),
        Some(&json!({"container": "app:0.0.1"}))
    );
}

#[test]
fn vm_verity_device_exists_exactly_while_mounted() {
    let site = Site::new();
    site.pack(&northstar_tests::Package::app("app", &["exit", "0"]));
    let daemon = site.start();
    let mut console = daemon.console();
    assert!(verity_devices().is_empty());
    assert_eq!(
        console.mount("app:0.0.1"),
        json!({"ok": {"container": "app:0.0.1"}})
    );
    let devices = verity_devices();
    assert_eq!(devices.len(), 1, "{devices:?}");
    let loops = residue::attached_loops();
    assert!(
        loops
            .values()
            .any(|backing| backing.starts_with(site.path())),
        "{loops:?}"
    );
    console.umount_ok("app:0.0.1");
    northstar_tests::eventually("the removal of the device", || {
        verity_devices().is_empty().then_some(())
    });
    daemon.stop();
}

#[test]
fn inspect_says_what_protects_a_container() {
    let site = Site::new().integrity(Integrity::FullRead);
    site.pack(&northstar_tests::Package::app("app", &["exit", "0"]));
    let daemon = site.start();
    let data = daemon.console().inspect("app:0.0.1");
    assert_eq!(
        data.pointer("/integrity/mode").and_then(Value::as_str),
        Some("full-read"),
        "{data}"
    );
    assert!(Path::new(&site.repository()).is_dir());
    daemon.stop();
}
