//! Starts, ends, and what containers are given.

use crate::harness::{SLEEP, Site, eventually};
use serde_json::json;

#[test]
fn container_runs_to_its_end_and_stays_mounted() {
    let site = Site::new();
    let app = site.shell("app", "exit 7", "", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    assert_eq!(console.exit_of(&app), json!({"exit": {"code": 7}}));
    assert_eq!(console.inspect(&app)["mounted"], json!(true));
    assert_eq!(console.inspect(&app)["process"], json!(null));
    assert_eq!(console.umount(&app), json!({"ok": {"container": app}}));
    assert_eq!(console.inspect(&app)["mounted"], json!(false));
}

#[test]
fn starts_leave_nothing_behind() {
    let site = Site::new();
    let app = site.shell(
        "app",
        "exit 0",
        "console: {permissions: full}",
        "  /data: {type: persist}\n",
    );
    let daemon = site.daemon();
    let mut console = daemon.console();
    let mut run = |times: u32| {
        for _ in 0..times {
            assert_eq!(console.start(&app), None);
            console.exit_of(&app);
        }
    };
    // Once, so that what is made on the first use is there.
    run(3);
    let before = daemon.counts();
    run(30);
    eventually("as many descriptors and mounts as before", || {
        (daemon.counts() == before).then_some(())
    });
}

#[test]
fn failed_execve_is_told_and_the_next_start_works() {
    let site = Site::new();
    let app = site.shell("app", SLEEP, "", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    let error = console.ask(
        "start",
        json!({"container": app, "init": "/no/such/program"}),
    );
    let error = error.unwrap()["start_container_failed"]["error"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        error.starts_with("execve") && error.contains("os error 2"),
        "{error}"
    );
    assert_eq!(console.start(&app), None);
    assert_eq!(
        console.start(&app),
        Some(json!({"start_container_started": {"container": app}}))
    );
}

#[test]
fn missing_bind_source_and_group_are_named() {
    let site = Site::new();
    let mounts = "  /x: {type: bind, host: /no/such/source}\n";
    let bind = site.shell("bind", SLEEP, "", mounts);
    let group = site.shell("group", SLEEP, "suppl_groups: [no-such-group]", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    for (container, missing) in [(bind, "/no/such/source"), (group, "no-such-group")] {
        let error = console.start(&container).unwrap();
        let error = error["start_container_failed"]["error"].as_str().unwrap();
        assert!(error.contains(missing), "{error}");
    }
}

#[test]
fn lenient_repository_skips_what_is_missing_and_says_so() {
    let mut site = Site::new();
    site.repository = "missing = \"skip\"";
    let mounts = "  /x: {type: bind, host: /no/such/source}\n";
    let app = site.shell("app", SLEEP, "suppl_groups: [no-such-group]", mounts);
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    assert_eq!(
        console.inspect(&app)["skipped"],
        json!(["mount /x", "group no-such-group"])
    );
}

#[test]
fn repository_can_forbid_arguments() {
    let mut site = Site::new();
    site.repository = "start_command = false";
    let app = site.shell("app", SLEEP, "", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    let error = console.ask(
        "start",
        json!({"container": app, "arguments": ["-c", "exit 0"]}),
    );
    assert!(error.unwrap().get("invalid_arguments").is_some());
    assert_eq!(console.start(&app), None);
}

#[test]
fn arguments_and_environment_reach_the_program() {
    let site = Site::new();
    let app = site.shell("app", "exit 1", "env: {A: manifest, B: manifest}", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    let script = "[ $A$B$NORTHSTAR_CONTAINER = startmanifestapp:0.0.1 ] && exit 42";
    let start =
        json!({"container": app, "arguments": ["-c", script], "environment": {"A": "start"}});
    assert_eq!(console.ask("start", start), None);
    assert_eq!(console.exit_of(&app), json!({"exit": {"code": 42}}));
}

#[test]
fn signal_reaches_the_program_and_nine_ends_everything() {
    let site = Site::new();
    let script = "trap 'exit 3' USR1; trap : TERM; echo ready; while :; do sleep 0.01; done";
    let app = site.shell("app", script, "", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    // A signal that comes before the trap is set ends the shell.
    eventually("the trap", || {
        let pid = console.inspect(&app)["process"]["pid"].as_i64()?;
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        let shell = children.split_whitespace().next()?.to_owned();
        let status = std::fs::read_to_string(format!("/proc/{shell}/status")).ok()?;
        let caught = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:\t"))?;
        // SIGUSR1 is 10.
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        (caught & (1 << 9) != 0).then_some(())
    });
    assert_eq!(console.kill(&app, 15), None);
    assert_eq!(console.kill(&app, 10), None);
    assert_eq!(console.exit_of(&app), json!({"exit": {"code": 3}}));

    assert_eq!(console.start(&app), None);
    assert_eq!(console.kill(&app, 9), None);
    assert_eq!(console.exit_of(&app), json!({"signalled": {"signal": 9}}));
    assert_eq!(
        console.kill(&app, 9),
        Some(json!({"stop_container_not_started": {"container": app}}))
    );
}

#[test]
fn of_many_starts_at_once_one_wins() {
    let site = Site::new();
    let app = site.shell("app", SLEEP, "", "");
    let daemon = site.daemon();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| daemon.console().start(&app)))
            .collect();
        starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect()
    });
    let started = json!({"start_container_started": {"container": app}});
    assert_eq!(answers.iter().filter(|answer| answer.is_none()).count(), 1);
    assert_eq!(
        answers
            .iter()
            .flatten()
            .filter(|error| **error == started)
            .count(),
        15
    );
}

#[test]
fn init_that_is_killed_or_stopped_concerns_its_container_only() {
    let site = Site::new();
    let app = site.shell("app", SLEEP, "", "");
    let other = site.shell("other", SLEEP, "", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    assert_eq!(console.start(&other), None);
    let init = |console: &mut crate::harness::Console| {
        let pid = console.inspect(&app)["process"]["pid"].as_i64().unwrap();
        nix::unistd::Pid::from_raw(pid.try_into().unwrap())
    };
    nix::sys::signal::kill(init(&mut console), nix::sys::signal::Signal::SIGKILL).unwrap();
    assert_eq!(console.exit_of(&app), json!({"signalled": {"signal": 9}}));

    assert_eq!(console.start(&app), None);
    nix::sys::signal::kill(init(&mut console), nix::sys::signal::Signal::SIGSTOP).unwrap();
    assert_eq!(console.kill(&app, 9), None);
    assert_eq!(console.exit_of(&app), json!({"signalled": {"signal": 9}}));
    assert!(console.inspect(&other)["process"]["pid"].is_number());
}

#[test]
fn container_has_a_connected_console_of_its_own() {
    let site = Site::new();
    let script = r#"
        printf '{"connect":{"version":"0.9.2","subscribe_notifications":false}}\n{"request":"ident"}\n{"request":"list"}\n' >&$NORTHSTAR_CONSOLE
        head -n 3 <&$NORTHSTAR_CONSOLE >/data/answers
    "#;
    let app = site.shell(
        "app",
        script,
        "console: {permissions: [ident]}",
        "  /data: {type: persist}\n",
    );
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    assert_eq!(console.exit_of(&app), json!({"exit": {"code": 0}}));
    let answers = std::fs::read_to_string(site.path("data/default/app/answers")).unwrap();
    let answers: Vec<serde_json::Value> = answers
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        answers,
        [
            json!({"connect_ack": null}),
            json!({"response": {"ident": "app:0.0.1"}}),
            json!({"response": {"permission_denied": "list"}}),
        ]
    );
}

#[test]
fn custom_values_come_back_as_they_are_written() {
    let site = Site::new();
    let custom = "custom: {team: vision, levels: [1, -2, 2.5, yes, null], deep: {a: {b: c}}}";
    let app = site.shell("app", "exit 0", custom, "");
    let daemon = site.daemon();
    let inspected = daemon.console().inspect(&app);
    assert_eq!(
        inspected["manifest"]["custom"],
        json!({"team": "vision", "levels": [1, -2, 2.5, "yes", null], "deep": {"a": {"b": "c"}}})
    );
}

#[test]
fn resource_is_taken_in_its_newest_matching_version() {
    let site = Site::new();
    for version in ["1.0.0", "1.2.0", "2.0.0"] {
        site.pack(&format!(
            "name: lib\nversion: {version}\nuid: 1\ngid: 1\n\
             mounts: {{/v{}: {{type: proc}}}}\n",
            version.replace('.', "")
        ));
    }
    let mount = "  /lib-resource: {type: resource, name: lib, version: '>=1.0, <2', dir: /}\n";
    let app = site.shell("app", "[ -d /lib-resource/v120 ] && exit 42", "", mount);
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    assert_eq!(console.exit_of(&app), json!({"exit": {"code": 42}}));
    assert_eq!(console.inspect("lib:1.2.0")["mounted"], json!(true));
    assert_eq!(console.inspect("lib:1.0.0")["mounted"], json!(false));
}
