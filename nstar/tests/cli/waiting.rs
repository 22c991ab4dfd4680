//! Verbs that wait for the end of containers.

use crate::daemon::{Daemon, LIST, Step, inspected, ok, stdout};

const STARTED: &str = r#"{"notification":{"started":$C}}"#;

#[test]
fn start_waits_for_the_end_and_ends_alike() {
    let start = || {
        Step::Answer(
            r#"{"start":{"container":$C,"init":null,"arguments":[],"environment":{}}}"#,
            r#"{"start":{"ok":{"container":$C}}}"#,
        )
    };
    let started = || Step::Say(STARTED);
    let other = || Step::Say(r#"{"notification":{"exit":[$D,{"exit":{"code":9}}]}}"#);
    for (exit, code, words) in [
        (r#"{"exit":{"code":0}}"#, 0, "code 0"),
        (r#"{"exit":{"code":7}}"#, 7, "code 7"),
        (r#"{"signalled":{"signal":9}}"#, 137, "signal 9 (SIGKILL)"),
    ] {
        let exit = format!(r#"{{"notification":{{"exit":[$C,{exit}]}}}}"#);
        let steps = vec![start(), started(), other(), Step::Say(exit.leak())];
        let output = Daemon::new(steps).run(&["start", "--wait", "a:0.0.1"]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let expected = format!("started a:0.0.1\nexit a:0.0.1 {words}\n");
        assert_eq!(stdout(&output), expected);
    }
    // With --json there are answers alone.
    let exit = Step::Say(r#"{"notification":{"exit":[$C,{"exit":{"code":3}}]}}"#);
    let steps = vec![start(), started(), exit];
    let output = Daemon::new(steps).run(&["-j", "start", "-w", "a:0.0.1"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!(
        stdout(&output),
        "{\"response\":{\"start\":{\"ok\":{\"container\":\"a:0.0.1\"}}}}\n"
    );
}

/// A start waits until the run before is cleaned up, and its end is told then.
#[test]
fn the_end_of_the_run_before_is_not_that_of_the_new_one() {
    let steps = vec![
        Step::Expect(
            r#"{"request":{"start":{"container":$C,"init":null,"arguments":[],"environment":{}}}}"#,
        ),
        Step::Say(r#"{"notification":{"exit":[$C,{"signalled":{"signal":9}}]}}"#),
        Step::Say(r#"{"response":{"start":{"ok":{"container":$C}}}}"#),
        Step::Say(STARTED),
        Step::Say(r#"{"notification":{"exit":[$C,{"exit":{"code":3}}]}}"#),
    ];
    let output = Daemon::new(steps).run(&["start", "--wait", "a:0.0.1"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!(stdout(&output), "started a:0.0.1\nexit a:0.0.1 code 3\n");
}

fn signalled(signal: u8) -> Step {
    Step::Answer(
        format!(r#"{{"kill":{{"container":$C,"signal":{signal}}}}}"#).leak(),
        r#"{"kill":{"ok":{"container":$C}}}"#,
    )
}

#[test]
fn stop_waits_for_the_end() {
    let exit = Step::Say(r#"{"notification":{"exit":[$C,{"exit":{"code":0}}]}}"#);
    assert_eq!(
        ok(&["stop", "a:0.0.1"], vec![signalled(15), exit]),
        "stopped a:0.0.1 code 0\n"
    );
}

#[test]
fn stop_kills_who_does_not_end_within_the_grace() {
    let exit = Step::Say(r#"{"notification":{"exit":[$C,{"signalled":{"signal":9}}]}}"#);
    let words = ["stop", "-s", "INT", "--grace", "50ms", "a:0.0.1"];
    assert_eq!(
        ok(&words, vec![signalled(2), signalled(9), exit]),
        "stopped a:0.0.1 signal 9 (SIGKILL)\n"
    );
}

#[test]
fn a_pattern_stops_what_runs() {
    let steps = vec![
        LIST,
        inspected("a:0.0.1", true, true),
        inspected("a:0.0.2", true, false),
        signalled(15),
        Step::Say(r#"{"notification":{"exit":[$C,{"signalled":{"signal":15}}]}}"#),
    ];
    assert_eq!(
        ok(&["stop", "a*"], steps),
        "stopped a:0.0.1 signal 15 (SIGTERM)\n"
    );
}
