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
    let left = tracked.residue();
    Usage {
        daemon_descriptors: descriptors(daemon.pid()),
        forker_descriptors: descriptors(*forker),
        daemon_mounts: daemon.mounts().len(),
        loops: left.loop_devices.len(),
        mapped: left.mapped_devices.len(),
        processes: tracked.processes.len(),
        control_groups: left
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

/// The usage once nothing changes any more: what follows an exit is done after its notification.
fn steady_usage(daemon: &Daemon) -> Usage {
    let mut last = usage(daemon);
    let mut same = 0;
    eventually("a steady state", || {
        std::thread::sleep(Duration::from_millis(20));
        let now = usage(daemon);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        (same == 10).then_some(())
    });
    last
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
    let before = steady_usage(&daemon);
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
    let before = steady_usage(&daemon);
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

/// Children of a process, as the kernel lists them without a look at any other process.
fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// Sends `signal` to the first init that appears during a start, as early as the test sees it, and returns the answer
/// of that start.
fn start_with_signalled_init(daemon: &Daemon, forker: i32, signal: Signal) -> Value {
    let known = children(forker);
    let (done, watched) = std::sync::mpsc::channel::<()>();
    let watcher = std::thread::spawn(move || {
        while watched.try_recv().is_err() {
            if let Some(init) = children(forker)
                .into_iter()
                .find(|pid| !known.contains(pid))
            {
                // The init may have ended in between, which is one of the outcomes under test.
                let _ = kill(Pid::from_raw(init), signal);
                return;
            }
        }
    });
    let answer = daemon.console().start("victim:0.0.1");
    let _ = done.send(());
    watcher.join().unwrap();
    answer
}

#[test]
fn init_that_hangs_or_dies_during_a_start_fails_that_start_alone() {
    let site = Site::new();
    site.pack(&Package::app("victim", &["wait"]));
    site.pack(&Package::app("bystander", &["wait"]));
    let daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("bystander:0.0.1");
    let forkers = residue::children_named(daemon.pid(), "northstar-fork");
    let [forker] = forkers.as_slice() else {
        panic!("one forker, not {forkers:?}")
    };

    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        // A start is a matter of milliseconds: the signal may come too late, so this tries until it was in time.
        eventually("a start that was hit", || {
            let begin = Instant::now();
            let answer = start_with_signalled_init(&daemon, *forker, signal);
            if answer
                .pointer("/start/error/error/start_container_failed")
                .is_some()
            {
                assert!(
                    begin.elapsed() < Duration::from_secs(30),
                    "no deadline ended the start"
                );
                return Some(());
            }
            assert!(answer.pointer("/start/ok").is_some(), "{answer}");
            // Too late, so the container runs, or its init has been stopped or killed since.
            console.kill("victim:0.0.1", 9);
            console.expect_exit("victim:0.0.1");
            None
        });
    }
    assert!(
        console
            .inspect("bystander:0.0.1")
            .pointer("/process/pid")
            .is_some()
    );
    console.start_ok("victim:0.0.1");
    daemon.stop();
}
