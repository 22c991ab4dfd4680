//! Harm to other containers: all processes there may be, signals to everybody, an init that was stopped.

use std::fs;

use northstar_tests::{
    Package, Site, Stream, eventually, in_virtual_machine, residue::process_tree,
};
use serde_json::json;

use crate::run;

/// A fork bomb fills its own control group; everybody else goes on, and it can be killed as a whole.
#[test]
fn fork_bomb_hurts_nobody_else_and_is_killed_as_a_whole() {
    // The kernel may make a party of each session by itself, and hide who else does. To forbid that is for a whole
    // machine: for none but one of the test's own.
    let _off = in_virtual_machine().then(WithoutAutogroups::begin);
    let site = Site::new();
    site.pack(&Package::app("bomb", &["fork-bomb"]));
    site.pack(&Package::app("other", &["print", "still here"]));
    let daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("bomb:0.0.1");
    daemon.expect_output("bomb:0.0.1", |line| line == "bomb");
    let pid = console
        .inspect("bomb:0.0.1")
        .pointer("/process/pid")
        .unwrap()
        .as_i64()
        .unwrap();
    let pid = i32::try_from(pid).unwrap();
    let full = eventually("a full control group", || {
        let processes = process_tree(daemon.pid()).len();
        (processes > 100).then_some(processes)
    });
    assert_eq!(run(&daemon, "other:0.0.1"), ["still here"]);
    let answer = console.request(&json!("ident"));
    assert!(answer.pointer("/ident").is_some(), "{answer}");
    let tracked = daemon.track();
    assert!(
        tracked.processes.len() < 5000,
        "{full}, {}",
        tracked.processes.len()
    );
    assert!(tracked.processes.contains_key(&pid));

    assert_eq!(
        console.kill("bomb:0.0.1", 9),
        json!({"kill": {"ok": {"container": "bomb:0.0.1"}}})
    );
    assert_eq!(
        console.expect_exit("bomb:0.0.1"),
        json!({"signalled": {"signal": 9}})
    );
    eventually("the end of every child of the bomb", || {
        (process_tree(daemon.pid()).len() <= 3).then_some(())
    });
    daemon.stop();
}

/// A kernel that groups no processes for the sake of sessions (sched(7)), as long as this lives.
struct WithoutAutogroups(String);

impl WithoutAutogroups {
    const SWITCH: &str = "/proc/sys/kernel/sched_autogroup_enabled";

    fn begin() -> WithoutAutogroups {
        let before = fs::read_to_string(Self::SWITCH).unwrap();
        fs::write(Self::SWITCH, "0").unwrap();
        WithoutAutogroups(before)
    }
}

impl Drop for WithoutAutogroups {
    fn drop(&mut self) {
        fs::write(Self::SWITCH, &self.0).unwrap();
    }
}

/// Signals to everybody reach nobody outside, and not even the container's own init.
#[test]
fn signals_to_everybody_stay_inside() {
    let site = Site::new();
    site.pack(&Package::app("killer", &["kill-all"]).field("capabilities: [CAP_KILL]"));
    site.pack(&Package::app("other", &["wait"]));
    let mut daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("other:0.0.1");
    daemon.expect_output("other:0.0.1", |line| line == "waiting");
    let output = run(&daemon, "killer:0.0.1");
    assert!(output.contains(&"others 0".to_owned()), "{output:?}");
    assert!(output.contains(&"alive".to_owned()), "{output:?}");
    assert!(daemon.is_running());
    assert_eq!(
        console.kill("other:0.0.1", 15),
        json!({"kill": {"ok": {"container": "other:0.0.1"}}})
    );
    assert_eq!(
        console.expect_exit("other:0.0.1"),
        json!({"signalled": {"signal": 15}})
    );
    daemon.stop();
}

/// Who may trace can stop the init of the own container. That container can still be killed, and nobody else notices.
#[test]
fn traced_init_costs_its_own_container_alone() {
    let site = Site::new();
    site.pack(&Package::app("tracer", &["attach-init"]).field("capabilities: [CAP_SYS_PTRACE]"));
    site.pack(&Package::app("other", &["print", "still here"]));
    let daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("tracer:0.0.1");
    daemon.expect_output("tracer:0.0.1", |line| line == "waiting");
    assert_eq!(
        daemon.output("tracer:0.0.1", Stream::Stdout)[0],
        "attach ok"
    );
    assert_eq!(run(&daemon, "other:0.0.1"), ["still here"]);
    assert_eq!(
        console.kill("tracer:0.0.1", 9),
        json!({"kill": {"ok": {"container": "tracer:0.0.1"}}})
    );
    assert_eq!(
        console.expect_exit("tracer:0.0.1"),
        json!({"signalled": {"signal": 9}})
    );
    daemon.stop();
}
