//! Start, watch, stop, unmount: the life of a container as a client sees it, and the error of each wrong request.

use northstar_tests::{Package, Site, eventually};
use serde_json::{Value, json};

#[test]
fn container_prints_exits_and_stays_mounted_until_umount() {
    let site = Site::new();
    site.pack(&Package::app("app", &["print", "hello", "world"]));
    let daemon = site.start();
    let mut console = daemon.console();

    assert_eq!(
        console.request(&json!("list")),
        json!({"list": ["app:0.0.1"]})
    );
    console.start_ok("app:0.0.1");
    console.expect_notification(&json!({"started": "app:0.0.1"}));
    assert_eq!(
        console.expect_exit("app:0.0.1"),
        json!({"exit": {"code": 0}})
    );
    daemon.expect_output("app:0.0.1", |line| line == "hello world");

    let data = console.inspect("app:0.0.1");
    assert_eq!(data.get("mounted"), Some(&json!(true)));
    assert_eq!(data.get("process"), Some(&Value::Null));
    assert_eq!(data.get("repository"), Some(&json!("default")));
    assert_eq!(data.pointer("/manifest/name"), Some(&json!("app")));
    assert!(!daemon.mounts().is_empty());

    console.umount_ok("app:0.0.1");
    eventually("the unmount", || daemon.mounts().is_empty().then_some(()));
    daemon.stop();
}

#[test]
fn exit_code_and_signal_are_reported() {
    let site = Site::new();
    site.pack(&Package::app("seven", &["exit", "7"]));
    site.pack(&Package::app("crash", &["abort"]));
    site.pack(&Package::app("waiter", &["wait"]));
    let daemon = site.start();
    let mut console = daemon.console();

    console.start_ok("seven:0.0.1");
    assert_eq!(
        console.expect_exit("seven:0.0.1"),
        json!({"exit": {"code": 7}})
    );
    console.start_ok("crash:0.0.1");
    assert_eq!(
        console.expect_exit("crash:0.0.1"),
        json!({"signalled": {"signal": 6}})
    );
    for signal in [15, 9] {
        console.start_ok("waiter:0.0.1");
        let answer = console.kill("waiter:0.0.1", signal);
        assert_eq!(
            answer,
            json!({"kill": {"ok": {"container": "waiter:0.0.1"}}})
        );
        assert_eq!(
            console.expect_exit("waiter:0.0.1"),
            json!({"signalled": {"signal": signal}})
        );
    }
    daemon.stop();
}

#[test]
fn running_container_reports_its_process() {
    let site = Site::new();
    site.pack(&Package::app("waiter", &["wait"]));
    let daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("waiter:0.0.1");

    let data = console.inspect("waiter:0.0.1");
    let pid = data
        .pointer("/process/pid")
        .and_then(Value::as_i64)
        .expect("a running container has a process");
    let tree = daemon.track().processes;
    assert!(
        tree.contains_key(&i32::try_from(pid).unwrap()),
        "{pid} is no descendant of the daemon: {tree:?}"
    );
    let uptime = data.pointer("/process/uptime").and_then(Value::as_u64);
    assert!(uptime.is_some_and(|nanoseconds| nanoseconds > 0), "{data}");
    daemon.stop();
}

#[test]
fn wrong_requests_get_their_documented_errors() {
    let site = Site::new();
    site.pack(&Package::app("app", &["wait"]).mount(
        "/message",
        "{type: resource, name: message, version: '>=0.0.1', dir: /, options: ''}",
    ));
    site.pack(&Package::app("app", &["wait"]).version("0.0.2"));
    site.pack(&Package::resource("message", "0.0.1", "text", "hello"));
    site.pack(&Package::app("needy", &["wait"]).mount(
        "/missing",
        "{type: resource, name: absent, version: '^1', dir: /, options: ''}",
    ));
    let daemon = site.start();
    let mut console = daemon.console();

    let refused = |kind: &str, container: &str, error: Value| json!({kind: {"error": {"container": container, "error": error}}});
    assert_eq!(
        console.start("absent:1.0.0"),
        refused(
            "start",
            "absent:1.0.0",
            json!({"invalid_container": {"container": "absent:1.0.0"}})
        )
    );
    assert_eq!(
        console.start("message:0.0.1"),
        refused(
            "start",
            "message:0.0.1",
            json!({"start_container_resource": {"container": "message:0.0.1"}})
        )
    );
    assert_eq!(
        console.start("needy:0.0.1"),
        refused(
            "start",
            "needy:0.0.1",
            json!({"start_container_missing_resource": {"container": "needy:0.0.1", "resource": "absent", "version": "^1"}})
        )
    );
    assert_eq!(
        console.kill("app:0.0.1", 15),
        refused(
            "kill",
            "app:0.0.1",
            json!({"stop_container_not_started": {"container": "app:0.0.1"}})
        )
    );
    let element =
        |container: &str, error: Value| json!({"error": {"container": container, "error": error}});
    assert_eq!(
        console.umount("app:0.0.1"),
        element(
            "app:0.0.1",
            json!({"umount_busy": {"container": "app:0.0.1"}})
        )
    );

    console.start_ok("app:0.0.1");
    for version in ["app:0.0.1", "app:0.0.2"] {
        assert_eq!(
            console.start(version),
            refused(
                "start",
                version,
                json!({"start_container_started": {"container": "app:0.0.1"}})
            )
        );
    }
    assert_eq!(
        console.mount("app:0.0.1"),
        element(
            "app:0.0.1",
            json!({"mount_busy": {"container": "app:0.0.1"}})
        )
    );
    assert_eq!(
        console.umount("message:0.0.1"),
        element(
            "message:0.0.1",
            json!({"umount_busy": {"container": "app:0.0.1"}})
        )
    );
    assert_eq!(
        console.request(&json!({"uninstall": {"container": "app:0.0.1", "wipe": false}})),
        refused(
            "uninstall",
            "app:0.0.1",
            json!({"umount_busy": {"container": "app:0.0.1"}})
        )
    );
    assert!(
        console
            .kill("app:0.0.1", 4096)
            .pointer("/kill/error/error/unexpected")
            .is_some(),
        "a signal that does not exist is unexpected"
    );
    daemon.stop();
}

#[test]
fn start_environment_is_merged() {
    let site = Site::new();
    site.pack(
        &Package::app("app", &["environment"]).field("env: {KEPT: manifest, CHANGED: manifest}"),
    );
    let daemon = site.start();
    let mut console = daemon.console();
    let request = json!({"start": {"container": "app:0.0.1", "environment": {"CHANGED": "start", "ADDED": "start"}}});
    assert_eq!(
        console.request(&request),
        json!({"start": {"ok": {"container": "app:0.0.1"}}})
    );
    console.expect_exit("app:0.0.1");
    let output = daemon.complete_output("app:0.0.1");
    for wanted in [
        "KEPT=manifest",
        "CHANGED=start",
        "ADDED=start",
        "NORTHSTAR_NAME=app",
        "NORTHSTAR_VERSION=0.0.1",
    ] {
        assert!(
            output.iter().any(|line| line == wanted),
            "{wanted} is not in {output:?}"
        );
    }
    daemon.stop();
}

#[test]
fn start_arguments_replace_those_of_the_manifest() {
    let site = Site::new();
    site.pack(&Package::app("app", &["exit", "1"]));
    let daemon = site.start();
    let mut console = daemon.console();
    let request =
        json!({"start": {"container": "app:0.0.1", "init": "<INIT>", "arguments": ["exit", "3"]}});
    assert_eq!(
        console.request(&request),
        json!({"start": {"ok": {"container": "app:0.0.1"}}})
    );
    assert_eq!(
        console.expect_exit("app:0.0.1"),
        json!({"exit": {"code": 3}})
    );

    let many = vec!["x"; 257];
    let answer = console.request(&json!({"start": {"container": "app:0.0.1", "arguments": many}}));
    assert!(
        answer
            .pointer("/start/error/error/invalid_arguments/cause")
            .is_some(),
        "{answer}"
    );
    daemon.stop();
}

#[test]
fn failed_execve_is_the_answer_of_start() {
    let site = Site::new();
    site.pack(&Package::app("app", &["exit", "0"]));
    let daemon = site.start();
    let mut console = daemon.console();
    let request = json!({"start": {"container": "app:0.0.1", "init": "/no/such/program"}});
    let answer = console.request(&request);
    let error = answer
        .pointer("/start/error/error/start_container_failed/error")
        .and_then(Value::as_str);
    assert!(
        error.is_some_and(|text| text.contains("execve") && text.contains("os error 2")),
        "{answer}"
    );
    // The container is not running now, and starts as if nothing had happened.
    console.start_ok("app:0.0.1");
    assert_eq!(
        console.expect_exit("app:0.0.1"),
        json!({"exit": {"code": 0}})
    );
    daemon.stop();
}

#[test]
fn shutdown_is_graceful() {
    let site = Site::new();
    site.pack(&Package::app("polite", &["wait"]));
    site.pack(&Package::app("stubborn", &["ignore-term"]));
    let site = site.option("stop_timeout = \"500ms\"");
    let mut daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("polite:0.0.1");
    console.start_ok("stubborn:0.0.1");
    daemon.expect_output("stubborn:0.0.1", |line| line == "waiting");
    let tracked = daemon.track();

    assert_eq!(console.request(&json!("shutdown")), json!("shutdown"));
    let mut exits = vec![];
    while exits.len() < 2 {
        let notification = console.next_notification();
        exits.extend(notification.get("exit").cloned());
    }
    exits.sort_by_key(Value::to_string);
    assert_eq!(
        exits,
        [
            json!(["polite:0.0.1", {"signalled": {"signal": 15}}]),
            json!(["stubborn:0.0.1", {"signalled": {"signal": 9}}]),
        ]
    );
    assert!(daemon.wait().success());
    let residue = tracked.settle(northstar_tests::PATIENCE);
    assert!(residue.is_empty(), "{residue:?}");
}

#[test]
fn autostart_starts_and_a_critical_failure_ends_the_daemon() {
    let site = Site::new();
    site.pack(&Package::app("relaxed", &["exit", "1"]).field("autostart: relaxed"));
    site.pack(&Package::app("service", &["wait"]).field("autostart: critical"));
    let mut daemon = site.start();
    let mut console = daemon.console();
    eventually("the autostart", || {
        let data = console.inspect("service:0.0.1");
        data.pointer("/process/pid").is_some().then_some(())
    });
    assert!(
        daemon.is_running(),
        "the exit of a relaxed container must not matter"
    );

    let tracked = daemon.track();
    console.kill("service:0.0.1", 15);
    assert!(
        !daemon.wait().success(),
        "the death of a critical container ends the daemon with an error"
    );
    let residue = tracked.settle(northstar_tests::PATIENCE);
    assert!(residue.is_empty(), "{residue:?}");
}
