//! Nothing is left behind: not by a daemon that is killed, not by many starts, not by an init that misbehaves.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use northstar_tests::{Daemon, Package, Residue, Site, eventually, residue};
use serde_json::{Value, json};

#[test]
fn killed_daemon_leaves_nothing_within_a_second() {
    let site = Site::new();
    site.pack(&Package::app("one", &["wait"]));
    site.pack(&Package::app("two", &["fork-children", "3"]));
    let daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("one:0.0.1");
    console.start_ok("two:0.0.1");
    daemon.expect_output("two:0.0.1", |line| line == "children 3");

    let tracked = daemon.kill();
    assert!(
        tracked.processes.len() >= 9,
        "daemon, forker, two inits, two programs, three children: {tracked:?}"
    );
    let residue = tracked.settle(Duration::from_secs(1));
    // Control groups without processes cost nothing; the next daemon removes them.
    let residue = Residue {
        control_groups: Vec::new(),
        ..residue
    };
    assert_eq!(residue, Residue::default());

    let daemon = site.start();
    daemon.console().start_ok("one:0.0.1");
    daemon.stop();
}

/// What grows when something leaks.
#[derive(Debug, PartialEq, Eq)]
struct Usage {
    daemon_descriptors: usize,
    forker_descriptors: usize,
    daemon_mounts: usize,
    loops: usize,
    mapped: usize,
    processes: usize,
    control_groups: usize,
}

fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn usage(daemon: &Daemon) -> Usage {
    let forkers = residue::children_named(daemon.pid(), "northstar-fork");
    let [forker] = forkers.as_slice() else {
        panic!("one forker, not {forkers:?}")
    };
    let tracked = daemon.track();
    Usage {
        daemon_descriptors: descriptors(daemon.pid()),
        forker_descriptors: descriptors(*forker),
        daemon_mounts: daemon.mounts().len(),
        loops: residue::attached_loops().len(),
        mapped: residue::mapped_devices().len(),
        processes: tracked.processes.len(),
        control_groups: tracked
            .residue()
            .control_groups
            .iter()
            .map(|group| {
                fs::read_dir(group)
                    .unwrap()
                    .flatten()
                    .filter(|entry| entry.path().is_dir())
                    .count()
            })
            .sum(),
    }
}

fn assert_returns_to(before: &Usage, daemon: &Daemon) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let after = usage(daemon);
        if after == *before {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "before {before:?}, after {after:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_hundred_starts_leak_nothing() {
    let site = Site::new();
    site.pack(&Package::app("app", &["exit", "0"]).mount("/tmp", "{type: tmpfs, size: 1MB}"));
    site.pack(&Package::app("waiter", &["wait"]).mount("/data", "{type: persist}"));
    let daemon = site.start();
    let mut console = daemon.console();
    let mut cycle = |unmount: bool| {
        console.start_ok("app:0.0.1");
        assert_eq!(
            console.expect_exit("app:0.0.1"),
            json!({"exit": {"code": 0}})
        );
        console.start_ok("waiter:0.0.1");
        console.kill("waiter:0.0.1", 9);
        assert_eq!(
            console.expect_exit("waiter:0.0.1"),
            json!({"signalled": {"signal": 9}})
        );
        if unmount {
            console.umount_ok("app:0.0.1");
            console.umount_ok("waiter:0.0.1");
        }
    };
    // The first cycles make what is made once: threads, caches, the groups' parent.
    for _ in 0..3 {
        cycle(true);
    }
    let before = usage(&daemon);
    for round in 0..100 {
        cycle(round % 10 == 9);
    }
    assert_returns_to(&before, &daemon);
    daemon.stop();
}

#[test]
fn failed_starts_leak_nothing() {
    let site = Site::new();
    site.pack(&Package::app("app", &["exit", "0"]));
    let daemon = site.start();
    let mut console = daemon.console();
    let mut fail = || {
        let answer =
            console.request(&json!({"start": {"container": "app:0.0.1", "init": "/absent"}}));
        assert!(
            answer
                .pointer("/start/error/error/start_container_failed")
                .is_some(),
            "{answer}"
        );
    };
    for _ in 0..3 {
        fail();
    }
    let before = usage(&daemon);
    for _ in 0..50 {
        fail();
    }
    assert_returns_to(&before, &daemon);
    daemon.stop();
}

/// The init of a running container.
fn init_of(daemon: &Daemon, container: &str) -> i32 {
    let data = daemon.console().inspect(container);
    let pid = data
        .pointer("/process/pid")
        .and_then(Value::as_i64)
        .expect("it runs");
    i32::try_from(pid).unwrap()
}

#[test]
fn death_of_an_init_is_the_end_of_its_container_alone() {
    let site = Site::new();
    site.pack(&Package::app("victim", &["wait"]));
    site.pack(&Package::app("bystander", &["wait"]));
    let daemon = site.start();
    let mut console = daemon.console();
    for _ in 0..5 {
        console.start_ok("victim:0.0.1");
        if console.inspect("bystander:0.0.1").get("process") == Some(&Value::Null) {
            console.start_ok("bystander:0.0.1");
        }
        kill(
            Pid::from_raw(init_of(&daemon, "victim:0.0.1")),
            Signal::SIGKILL,
        )
        .unwrap();
        assert_eq!(
            console.expect_exit("victim:0.0.1"),
            json!({"signalled": {"signal": 9}})
        );
    }
    assert!(
        console
            .inspect("bystander:0.0.1")
            .pointer("/process/pid")
            .is_some()
    );
    daemon.stop();
}

#[test]
fn stopped_init_can_still_be_killed() {
    let site = Site::new();
    site.pack(&Package::app("victim", &["wait"]));
    let daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("victim:0.0.1");
    kill(
        Pid::from_raw(init_of(&daemon, "victim:0.0.1")),
        Signal::SIGSTOP,
    )
    .unwrap();
    console.kill("victim:0.0.1", 9);
    assert_eq!(
        console.expect_exit("victim:0.0.1"),
        json!({"signalled": {"signal": 9}})
    );
    daemon.stop();
}

#[test]
fn death_of_the_forker_ends_the_daemon_with_an_error_and_no_residue() {
    let site = Site::new();
    site.pack(&Package::app("waiter", &["wait"]));
    let mut daemon = site.start();
    daemon.console().start_ok("waiter:0.0.1");
    let tracked = daemon.track();
    let forkers = residue::children_named(daemon.pid(), "northstar-fork");
    let [forker] = forkers.as_slice() else {
        panic!("one forker, not {forkers:?}")
    };
    kill(Pid::from_raw(*forker), Signal::SIGKILL).unwrap();
    assert!(!daemon.wait().success());
    let residue = tracked.settle(northstar_tests::PATIENCE);
    assert!(residue.is_empty(), "{residue:?}");
}

#[test]
fn orphans_are_reaped() {
    let site = Site::new();
    site.pack(&Package::app("app", &["orphan"]));
    let daemon = site.start();
    let mut console = daemon.console();
    let processes = daemon.track().processes.len();
    console.start_ok("app:0.0.1");
    assert_eq!(
        console.expect_exit("app:0.0.1"),
        json!({"exit": {"code": 0}})
    );
    eventually("the end of the orphan", || {
        (daemon.track().processes.len() == processes).then_some(())
    });
    daemon.stop();
}
