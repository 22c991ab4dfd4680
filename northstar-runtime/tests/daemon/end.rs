//! How the daemon ends, and that it leaves nothing.

use crate::harness::{Console, SLEEP, Site, daemon::Ended, eventually};
use nix::sys::signal::Signal;
use serde_json::json;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// A program that does not care about SIGTERM. It says so by a file.
const STUBBORN: &str = "trap : TERM; : > /data/ready; while :; do sleep 0.1; done";
const DATA: &str = "  /data: {type: persist}\n";

#[track_caller]
fn nothing_left(site: &Site) {
    assert_eq!(site.residue(), BTreeMap::new());
}

fn code(ended: &Ended) -> Option<i32> {
    ended.status.code()
}

#[test]
fn sigterm_stops_unmounts_and_leaves_nothing() {
    let site = Site::new();
    let app = site.shell("app", SLEEP, "", "");
    let idle = site.shell("idle", SLEEP, "", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    console.request(json!({"mount": {"containers": [idle]}}));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(console.exit_of(&app), json!({"signalled": {"signal": 15}}));
    assert_eq!(code(&daemon.wait()), Some(0));
    nothing_left(&site);
    assert!(!site.path("console").exists());
}

#[test]
fn sigterm_is_heard_while_repositories_load() {
    let mut site = Site::new();
    // Whoever opens it waits for somebody to write to it.
    let key = site.path("key.pub");
    nix::unistd::mkfifo(&key, nix::sys::stat::Mode::S_IRWXU).unwrap();
    site.repository = format!("key = \"{}\"", key.display()).leak();
    let daemon = site.daemon();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(code(&daemon.wait()), Some(0));
    nothing_left(&site);
}

#[test]
fn shutdown_request_ends_the_daemon() {
    let site = Site::new();
    let app = site.shell("app", SLEEP, "", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    assert_eq!(console.request(json!("shutdown")), json!("shutdown"));
    assert_eq!(code(&daemon.wait()), Some(0));
    nothing_left(&site);
}

#[test]
fn stubborn_container_is_killed_after_the_stop_timeout() {
    let site = Site::new();
    let app = site.shell("app", STUBBORN, "", DATA);
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    eventually("the trap", || {
        site.path("data/default/app/ready").exists().then_some(())
    });
    let asked = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(console.exit_of(&app), json!({"signalled": {"signal": 9}}));
    let took = asked.elapsed();
    assert!(took >= Duration::from_secs(2), "{took:?}");
    assert_eq!(code(&daemon.wait()), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(7));
    nothing_left(&site);
}

#[test]
fn second_signal_does_not_wait() {
    let mut site = Site::new();
    site.stop_timeout = "1h";
    let app = site.shell("app", STUBBORN, "", DATA);
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    eventually("the trap", || {
        site.path("data/default/app/ready").exists().then_some(())
    });
    daemon.signal(Signal::SIGTERM);
    assert_eq!(console.notification(), Some(json!({"started": app})));
    assert_eq!(console.notification(), Some(json!("shutdown")));
    daemon.signal(Signal::SIGINT);
    assert_eq!(console.exit_of(&app), json!({"signalled": {"signal": 9}}));
    assert_eq!(code(&daemon.wait()), Some(0));
    nothing_left(&site);
}

#[test]
fn autostart_is_done_and_a_relaxed_failure_ignored() {
    let mut site = Site::new();
    site.repository = "mount_on_start = true";
    let good = site.shell("good", SLEEP, "autostart: critical", "");
    let mounts = "  /x: {type: bind, host: /no/such/source}\n";
    let bad = site.shell("bad", SLEEP, "autostart: relaxed", mounts);
    let idle = site.shell("idle", SLEEP, "", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    eventually("the autostart", || {
        console.inspect(&good)["process"]["pid"]
            .is_number()
            .then_some(())
    });
    assert_eq!(console.inspect(&idle)["mounted"], json!(true));
    assert_eq!(console.inspect(&bad)["process"], json!(null));
    assert_eq!(
        console.request(json!("list"))["list"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn critical_container_that_cannot_start_ends_the_daemon() {
    let site = Site::new();
    let mounts = "  /x: {type: bind, host: /no/such/source}\n";
    site.shell("app", SLEEP, "autostart: critical", mounts);
    let other = site.shell("other", SLEEP, "autostart: relaxed", "");
    let daemon = site.daemon();
    assert_eq!(code(&daemon.wait()), Some(1));
    nothing_left(&site);
    drop(other);
}

#[test]
fn critical_container_that_fails_ends_the_daemon() {
    let site = Site::new();
    site.shell("app", "sleep 0.2; exit 3", "autostart: critical", "");
    site.shell("other", SLEEP, "autostart: relaxed", "");
    assert_eq!(code(&site.daemon().wait()), Some(1));
    nothing_left(&site);
}

#[test]
fn critical_container_may_end_well() {
    let site = Site::new();
    let script = "echo x >> /data/runs";
    let app = site.shell("app", script, "autostart: critical", DATA);
    let daemon = site.daemon();
    let mut console = daemon.console();
    eventually("the autostart", || {
        site.path("data/default/app/runs").exists().then_some(())
    });
    // No process is shown before the start is done, either: only a start that is accepted says that the first run is
    // over.
    eventually("the end of the container", || {
        console.start(&app).is_none().then_some(())
    });
    eventually("the second end", || {
        let runs = std::fs::read_to_string(site.path("data/default/app/runs")).unwrap();
        (runs.lines().count() == 2).then_some(())
    });
    daemon.signal(Signal::SIGTERM);
    assert_eq!(code(&daemon.wait()), Some(0));
}

#[test]
fn client_may_be_faster_than_the_autostart() {
    let site = Site::new();
    let app = site.shell("app", SLEEP, "autostart: critical", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    let started = json!({"start_container_started": {"container": app}});
    let answer = console.start(&app);
    assert!(answer.is_none() || answer == Some(started), "{answer:?}");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(code(&daemon.wait()), Some(0));
}

#[test]
fn death_of_the_forker_ends_everything_with_an_error() {
    let site = Site::new();
    let app = site.shell("app", STUBBORN, "", DATA);
    let daemon = site.daemon();
    assert_eq!(daemon.console().start(&app), None);
    let forker = nix::unistd::Pid::from_raw(daemon.forker());
    let killed = Instant::now();
    nix::sys::signal::kill(forker, Signal::SIGKILL).unwrap();
    assert_eq!(code(&daemon.wait()), Some(1));
    assert!(killed.elapsed() < Duration::from_secs(5));
    nothing_left(&site);
}

#[test]
fn killed_daemon_takes_everything_but_cgroups_with_it() {
    let site = Site::new();
    let app = site.shell("app", STUBBORN, "", DATA);
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    let init = console.inspect(&app)["process"]["pid"].as_i64().unwrap();
    let forker = daemon.forker();
    let killed = Instant::now();
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    eventually("the end of all processes, mounts and devices", || {
        let dead = |pid: i64| !std::path::Path::new(&format!("/proc/{pid}")).exists();
        let mut residue = site.residue();
        residue.remove("cgroups");
        (dead(init) && dead(forker.into()) && residue.is_empty()).then_some(())
    });
    assert!(killed.elapsed() < Duration::from_secs(5));

    // The next one finds everything in order, and takes the cgroups away.
    let daemon = site.daemon();
    assert_eq!(daemon.console().start(&app), None);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(code(&daemon.wait()), Some(0));
    nothing_left(&site);
}

#[test]
fn second_daemon_on_the_same_directory_is_refused_and_touches_nothing() {
    let site = Site::new();
    let app = site.shell(
        "app",
        SLEEP,
        "sockets: {control: {type: stream, mode: 0o600}}",
        "",
    );
    let daemon = site.daemon();
    assert_eq!(daemon.console().start(&app), None);
    let mut second = site
        .command()
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let status = eventually("the end of the second", || second.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    assert!(daemon.console().inspect(&app)["process"]["pid"].is_number());
    assert!(site.path("run/sockets/app:0.0.1/control").exists());
}

#[test]
fn second_daemon_with_the_same_cgroup_is_refused_and_touches_nothing() {
    let first = Site::new();
    let app = first.shell("app", SLEEP, "", "");
    let daemon = first.daemon();
    assert_eq!(daemon.console().start(&app), None);
    let groups = first.residue().remove("cgroups");
    let second = first.neighbour();
    second.configure();
    let mut command = second.command();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    // What the operator gets to see.
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&first.cgroup), "{told}");
    assert!(!second.path("console").exists());
    assert!(daemon.console().inspect(&app)["process"]["pid"].is_number());
    assert_eq!(first.residue().remove("cgroups"), groups);

    // The place is free when the first one is gone.
    daemon.signal(Signal::SIGTERM);
    assert_eq!(code(&daemon.wait()), Some(0));
    nothing_left(&first);
    let daemon = second.daemon();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(code(&daemon.wait()), Some(0));
    nothing_left(&first);
}

#[test]
fn idle_daemon_keeps_its_cgroup_to_itself() {
    let first = Site::new();
    let app = first.shell("app", "exit 0", "", "");
    let daemon = first.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    console.exit_of(&app);
    assert_eq!(console.umount(&app), json!({"ok": {"container": app}}));
    let second = first.neighbour();
    second.configure();
    assert_eq!(second.command().output().unwrap().status.code(), Some(1));
    assert_eq!(console.start(&app), None);
}

#[test]
fn reader_of_the_log_that_is_stuck_holds_up_nothing() {
    let site = Site::new();
    let flood = "yes | head -c 20000000; exit 0";
    let app = site.shell("app", flood, "io: {stdout: pipe}", "");
    site.configure();
    // Nobody reads this pipe, which holds 64 KiB.
    let mut child = site
        .command()
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let socket = site.path("console");
    eventually("console", || {
        std::os::unix::net::UnixStream::connect(&socket).ok()
    });
    let mut console = Console::connect(&socket);
    assert_eq!(console.start(&app), None);
    assert_eq!(console.exit_of(&app), json!({"exit": {"code": 0}}));
    assert_eq!(console.request(json!("shutdown")), json!("shutdown"));
    let status = eventually("the end of the daemon", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    nothing_left(&site);
}

#[test]
fn configuration_can_be_checked_without_a_daemon() {
    let site = Site::new();
    site.configure();
    let check = |site: &Site| {
        let mut command = site.command();
        command
            .arg("--check-config")
            .stderr(std::process::Stdio::null());
        command.status().unwrap().code()
    };
    assert_eq!(check(&site), Some(0));
    assert!(!site.path("run").exists());
    std::fs::write(site.path("northstar.toml"), "run_dir = 7").unwrap();
    assert_eq!(check(&site), Some(1));
}
