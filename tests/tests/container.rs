//! The package test-container as it stands in its manifest, with the commands it has.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use northstar_tests::{Daemon, Site, programs};
use serde_json::{Value, json};

const CONTAINER: &str = "test-container:0.0.1";

/// Packs the program with the manifest beside its source.
fn pack(site: &Site) {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("container/manifest.yaml");
    let work = tempfile::tempdir().unwrap();
    let root = work.path().join("root");
    fs::create_dir(&root).unwrap();
    let program = root.join("test-container");
    fs::copy(&programs().test_container, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new(&programs().sextant)
        .arg("pack")
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--root")
        .arg(&root)
        .arg("--key")
        .arg(site.key())
        .arg("--out")
        .arg(site.repository().join("test-container.npk"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Starts it with a command and returns how it ended.
fn run(daemon: &Daemon, arguments: &[&str]) -> Value {
    let mut console = daemon.console();
    let start = json!({
        "start": {"container": CONTAINER, "init": null, "arguments": arguments, "environment": {}}
    });
    let started = json!({"start": {"ok": {"container": CONTAINER}}});
    assert_eq!(console.request(&start), started);
    console.expect_exit(CONTAINER)
}

#[test]
fn each_command_does_what_its_name_says() {
    let rows: &[(&[&str], &[&str])] = &[
        (&["print", "hello", "world"], &["hello world"]),
        (&["touch", "/data/file"], &["/data/file touched"]),
        (&["write", "/data/file", "text"], &["/data/file written"]),
        (
            &["cat", "/data/file", "/none"],
            &["/data/file text", "/none error 2"],
        ),
        (&["directory"], &["directory /"]),
        (&["sleep", "0"], &[]),
        // The profile of the manifest refuses the call before the kernel looks for a module.
        (&["call-delete-module", "none"], &["delete_module EPERM"]),
        (
            &["sockets"],
            &[
                "socket events Datagram listens=false events",
                "socket hello Stream listens=true hello",
            ],
        ),
    ];
    let site = Site::new();
    pack(&site);
    let daemon = site.start();
    for (number, (arguments, expected)) in rows.iter().enumerate() {
        let end = run(&daemon, arguments);
        assert_eq!(end, json!({"exit": {"code": 0}}), "{arguments:?}");
        let output = daemon.output_of_run(CONTAINER, number);
        assert_eq!(output, *expected, "{arguments:?}");
    }
    daemon.stop();
}

#[test]
fn its_own_arguments_inspect_it() {
    let site = Site::new();
    pack(&site);
    let daemon = site.start();
    let mut console = daemon.console();
    console.start_ok(CONTAINER);
    assert_eq!(console.expect_exit(CONTAINER), json!({"exit": {"code": 0}}));
    let output = daemon.complete_output(CONTAINER);
    for fact in [
        "Uid: 1000 1000 1000 1000",
        "Seccomp: 2",
        "fd 0 /dev/null",
        "NORTHSTAR_NAME=test-container",
    ] {
        assert!(output.contains(&fact.to_owned()), "no {fact}: {output:?}");
    }
    daemon.stop();
}

#[test]
fn ends_are_told_as_they_are() {
    let site = Site::new();
    pack(&site);
    let daemon = site.start();
    for (arguments, end) in [
        (&["crash"][..], json!({"signalled": {"signal": 6}})),
        (&["exit", "7"], json!({"exit": {"code": 7}})),
        (&["no-such-command"], json!({"exit": {"code": 2}})),
    ] {
        assert_eq!(run(&daemon, arguments), end, "{arguments:?}");
    }
    daemon.stop();
}
