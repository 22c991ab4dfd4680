//! What is mounted, with which flags, and what of others cannot be seen.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt};

use northstar_tests::{Package, Site};
use serde_json::json;

use crate::{run, run_on, start_failure};

/// Mount options by mount point, of the container's mountinfo.
fn mount_options(output: &[String]) -> BTreeMap<String, Vec<String>> {
    output
        .iter()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(4);
            let target = fields.next()?.to_owned();
            Some((
                target,
                fields.next()?.split(',').map(str::to_owned).collect(),
            ))
        })
        .collect()
}

#[test]
fn mount_flags_are_exact() {
    let site = Site::new();
    let shared = site.path().join("shared");
    fs::create_dir(&shared).unwrap();
    let bind = |options: &str| {
        format!(
            "{{type: bind, host: {}, options: '{options}'}}",
            shared.display()
        )
    };
    site.pack(&Package::resource("message", "0.0.1", "text", "hello"));
    site.pack(
        &Package::app("app", &["mounts"])
            .mount("/ro", &bind(""))
            .mount("/rw", &bind("rw, nosuid, nodev"))
            .mount("/strict", &bind("rw,noexec,nosuid,nodev"))
            .mount("/data", "{type: persist}")
            .mount("/tmp", "{type: tmpfs, size: 1MiB}")
            .mount("/sys", "{type: sysfs}")
            .mount(
                "/res",
                "{type: resource, name: message, version: '>=0.0.1', dir: /, options: noexec}",
            ),
    );
    let daemon = site.start();
    let options = mount_options(&run_on(&daemon, "app:0.0.1"));
    let expected: [(&str, &[&str]); 10] = [
        ("/", &["ro", "nosuid", "nodev"]),
        ("/proc", &["ro", "nosuid", "nodev", "noexec"]),
        ("/sys", &["ro", "nosuid", "nodev", "noexec"]),
        ("/tmp", &["rw", "nosuid", "nodev", "noexec"]),
        ("/data", &["rw", "nosuid", "nodev", "noexec"]),
        ("/dev", &["nosuid", "noexec"]),
        ("/res", &["ro", "nosuid", "nodev", "noexec"]),
        ("/ro", &["ro"]),
        ("/rw", &["rw", "nosuid", "nodev"]),
        ("/strict", &["rw", "nosuid", "nodev", "noexec"]),
    ];
    for (target, wanted) in expected {
        let found = options
            .get(target)
            .unwrap_or_else(|| panic!("{target} is not mounted: {options:?}"));
        let mut found: Vec<&str> = found
            .iter()
            .map(String::as_str)
            .filter(|option| !option.ends_with("atime"))
            .collect();
        if target == "/dev" {
            found.retain(|option| !matches!(*option, "ro" | "rw"));
        }
        assert_eq!(found, wanted, "{target}");
    }
    daemon.stop();
}

#[test]
fn host_file_systems_are_out_of_sight() {
    let output = run(&Package::app("app", &["mounts"]));
    let targets: Vec<String> = mount_options(&output).into_keys().collect();
    for target in &targets {
        let own = target == "/" || target.starts_with("/dev") || target.starts_with("/proc");
        assert!(own, "{target} is no mount of the manifest: {targets:?}");
    }
}

#[test]
fn dev_is_the_runtimes_own() {
    let output = run(&Package::app("app", &["list", "/dev"]));
    let expected = [
        "/dev/fd link /proc/self/fd",
        "/dev/full char 1:7",
        "/dev/null char 1:3",
        "/dev/ptmx link pts/ptmx",
        "/dev/pts directory",
        "/dev/random char 1:8",
        "/dev/shm directory",
        "/dev/stderr link /proc/self/fd/2",
        "/dev/stdin link /proc/self/fd/0",
        "/dev/stdout link /proc/self/fd/1",
        "/dev/tty char 5:0",
        "/dev/urandom char 1:9",
        "/dev/zero char 1:5",
    ];
    assert_eq!(output, expected);
}

#[test]
fn newest_matching_resource_is_used() {
    let site = Site::new();
    for version in ["0.0.1", "0.9.0", "0.10.0", "1.0.0"] {
        site.pack(&Package::resource("message", version, "text", version));
    }
    site.pack(&Package::app("app", &["cat", "/res/text"]).mount(
        "/res",
        "{type: resource, name: message, version: '>=0.0.1, <1.0.0', dir: /, options: ''}",
    ));
    let daemon = site.start();
    assert_eq!(run_on(&daemon, "app:0.0.1"), ["/res/text 0.10.0"]);
    daemon.stop();
}

#[test]
fn resource_directory_never_leads_out() {
    // A link as the last component, a link on the way, and a directory that only the host has.
    for directory in ["/escape", "/up/etc", "/etc"] {
        let site = Site::new();
        site.pack(
            &Package::resource("message", "0.0.1", "text", "hello")
                .link("/escape", "/etc")
                .link("/up", "../../../.."),
        );
        let mount = format!(
            "{{type: resource, name: message, version: '*', dir: {directory}, options: ''}}"
        );
        site.pack(&Package::app("app", &["cat", "/res/passwd"]).mount("/res", &mount));
        let daemon = site.start();
        assert!(start_failure(&daemon, "app:0.0.1").contains(directory));
        daemon.stop();
    }
}

#[test]
fn persistent_data_is_kept_by_repository() {
    let site = Site::new();
    site.pack(
        &Package::app("app", &["write", "/data/file", "kept"]).mount("/data", "{type: persist}"),
    );
    let daemon = site.start();
    let mut console = daemon.console();
    run_on(&daemon, "app:0.0.1");
    let directory = site.path().join("data/default/app");
    assert_eq!(fs::read_to_string(directory.join("file")).unwrap(), "kept");
    let metadata = fs::metadata(&directory).unwrap();
    assert_eq!(
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777),
        (1000, 1000, 0o700)
    );

    let wipe = json!({"uninstall": {"container": "app:0.0.1", "wipe": true}});
    assert_eq!(
        console.request(&wipe),
        json!({"uninstall": {"ok": {"container": "app:0.0.1"}}})
    );
    assert!(!directory.exists());
    daemon.stop();
}

#[test]
fn data_of_0_9_is_moved_once() {
    let site = Site::new();
    let old = site.path().join("data/app");
    fs::create_dir_all(&old).unwrap();
    fs::write(old.join("file"), "from 0.9").unwrap();
    std::os::unix::fs::chown(&old, Some(1000), Some(1000)).unwrap();
    site.pack(&Package::app("app", &["cat", "/data/file"]).mount("/data", "{type: persist}"));
    let daemon = site.start();
    assert_eq!(run_on(&daemon, "app:0.0.1"), ["/data/file from 0.9"]);
    assert!(!old.exists());
    assert!(site.path().join("data/default/app/file").exists());
    daemon.stop();
}
