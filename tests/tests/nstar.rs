//! The operator command line against the real daemon.

use std::process::{Command, Output};

use northstar_tests::{Daemon, Package, Site, programs};
use serde_json::{Value, json};

fn nstar(daemon: &Daemon, arguments: &[&str]) -> Output {
    Command::new(&programs().nstar)
        .arg("--url")
        .arg(daemon.url())
        .args(arguments)
        .output()
        .expect("nstar runs")
}

/// The raw answer lines of `nstar --json`.
fn raw(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect()
}

#[test]
fn a_container_is_started_and_killed_by_its_name() {
    let site = Site::new();
    site.pack(&Package::app("hello-world", &["exit", "1"]));
    site.pack(&Package::app("hello-world", &["wait"]).version("0.10.0"));
    site.pack(&Package::app("hello-world", &["exit", "1"]).version("0.9.0"));
    let daemon = site.start();

    let newest = "hello-world:0.10.0";
    let start = nstar(&daemon, &["-j", "start", "hello-world"]);
    assert_eq!(
        raw(&start),
        [json!({"response": {"start": {"ok": {"container": newest}}}})]
    );
    assert!(start.status.success());

    let again = nstar(&daemon, &["-j", "start", "hello-world"]);
    let error = json!({"start_container_started": {"container": newest}});
    assert_eq!(
        raw(&again),
        [json!({"response": {"start": {"error": {"container": newest, "error": error}}}})]
    );
    assert!(!again.status.success());

    let kill = nstar(&daemon, &["-j", "kill", "hello-world"]);
    assert_eq!(
        raw(&kill),
        [json!({"response": {"kill": {"ok": {"container": newest}}}})]
    );
    assert!(kill.status.success());
    daemon.stop();
}

#[test]
fn a_package_is_installed_inspected_mounted_and_uninstalled() {
    let site = Site::new();
    let outside = tempfile::tempdir().unwrap();
    let package = Package::app("app", &["exit", "0"]).pack(outside.path(), Some(&site.key()));
    let daemon = site.start();
    let file = package.to_str().unwrap();
    for arguments in [
        &["install", file, "default"][..],
        &["list"],
        &["repositories"],
        &["inspect", "app"],
        &["mount", "app:0.0.1"],
        &["umount", "app:0.0.1"],
        &["ident"],
        &["uninstall", "app:0.0.1"],
    ] {
        let output = nstar(&daemon, arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    assert_eq!(
        daemon.console().request(&json!("list")),
        json!({"list": []})
    );
    daemon.stop();
}

#[test]
fn exit_codes_tell_failures_apart() {
    let site = Site::new();
    let daemon = site.start();
    assert_eq!(nstar(&daemon, &["start", "absent"]).status.code(), Some(5));
    assert_eq!(nstar(&daemon, &["no-such-verb"]).status.code(), Some(2));
    daemon.stop();
    let unreachable = Command::new(&programs().nstar)
        .args(["--url", "unix:///no/such/socket", "list"])
        .output()
        .unwrap();
    assert_eq!(unreachable.status.code(), Some(3));
}

#[test]
fn shutdown_ends_the_daemon() {
    let site = Site::new();
    let mut daemon = site.start();
    assert!(nstar(&daemon, &["shutdown"]).status.success());
    assert!(daemon.wait().success());
}
