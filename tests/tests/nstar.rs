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

#[test]
fn patterns_waiting_and_stopping_against_the_daemon() {
    let site = Site::new();
    site.pack(&Package::app("app-one", &["wait"]));
    site.pack(&Package::app("app-two", &["ignore-term"]));
    site.pack(&Package::app("once", &["exit", "3"]));
    let daemon = site.start();

    let once = nstar(&daemon, &["start", "--wait", "once"]);
    assert_eq!(once.status.code(), Some(3), "{once:?}");

    let text = |output: &Output| {
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout.clone()).unwrap()
    };
    let started = text(&nstar(&daemon, &["start", "app-*"]));
    assert_eq!(started, "started app-one:0.0.1\nstarted app-two:0.0.1\n");
    daemon.expect_output("app-one:0.0.1", |line| line == "waiting");
    daemon.expect_output("app-two:0.0.1", |line| line == "waiting");

    let top = text(&nstar(&daemon, &["top", "--delay", "10ms", "app-*"]));
    let rows: Vec<Vec<&str>> = top
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 2, "{top}");
    // State and restarts; how much is used is up to the host.
    assert!(
        rows.iter().all(|row| row[1] == "running" && row[6] == "0"),
        "{top}"
    );

    // The one ends when it is asked to, for which a busy machine needs a while; the other has to be killed.
    let stopped = text(&nstar(&daemon, &["stop", "--grace", "5s", "app-*"]));
    assert!(
        stopped.contains("stopped app-one:0.0.1 signal 15 (SIGTERM)"),
        "{stopped}"
    );
    assert!(
        stopped.contains("stopped app-two:0.0.1 signal 9 (SIGKILL)"),
        "{stopped}"
    );
    assert_eq!(nstar(&daemon, &["stop", "app-*"]).status.code(), Some(5));
    assert_eq!(
        nstar(&daemon, &["stop", "once:0.0.1"]).status.code(),
        Some(8)
    );
    daemon.stop();
}

#[test]
fn a_refused_package_has_a_code_of_its_own() {
    let site = Site::new();
    let outside = tempfile::tempdir().unwrap();
    let unsigned = Package::app("app", &["exit", "0"]).pack(outside.path(), None);
    let daemon = site.start();
    let output = nstar(&daemon, &["install", unsigned.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    daemon.stop();
}
