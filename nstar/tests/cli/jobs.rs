//! What nstar asks for beyond protocol 0.9.2, how far the daemon is, and interrupts.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::{Child, Output, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::{
    daemon::{DETAILS, Daemon, JOBS, Step, stdout},
    terminal::Terminal,
};

const PATIENCE: Duration = Duration::from_secs(30);
const MOUNT: &str = r#"{"id":1,"request":{"mount":{"containers":[$C,$D]}}}"#;
const CANCEL: &str = r#"{"id":2,"request":{"cancel":{"id":1}}}"#;
const CANCELLING: &str = r#"{"id":2,"response":{"cancel":{"ok":{"id":1}}}}"#;
const PROGRESS: &str = r#"{"id":1,"progress":{"done":1,"total":2,"unit":"containers"}}"#;

/// A daemon, and how the test hears that it has come to [`Step::Tell`].
fn told(steps: impl FnOnce(mpsc::Sender<()>) -> Vec<Step>) -> (Vec<Step>, Receiver<()>) {
    let (sender, receiver) = mpsc::channel();
    (steps(sender), receiver)
}

fn spawn(daemon: &Daemon, words: &[&str]) -> Child {
    let mut command = daemon.nstar(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn interrupt(child: &Child) {
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    kill(pid, Signal::SIGINT).unwrap();
}

/// Interrupts nstar each time when the daemon tells to.
fn interrupted(
    handshake: &'static str,
    words: &[&str],
    steps: Vec<Step>,
    told: Receiver<()>,
) -> Output {
    let daemon = Daemon::answering(handshake, steps);
    let child = spawn(&daemon, words);
    while told.recv_timeout(PATIENCE).is_ok() {
        interrupt(&child);
    }
    let output = child.wait_with_output().unwrap();
    daemon.finish(output)
}

#[test]
fn a_verb_asks_for_what_it_uses() {
    let jobs = || json!({"ids": true, "jobs": true, "details": true});
    let details = || json!({"details": true});
    let filter = |filter: Value| json!({"details": true, "filter": filter});
    let many: Vec<String> = (0..65).map(|number| format!("a{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases: [(&[&str], Value); 12] = [
        (&["list"], details()),
        (&["--json", "list"], Value::Null),
        (&["mount", "a:0.0.1"], jobs()),
        (&["umount", "a:0.0.1"], jobs()),
        (&["start", "a:0.0.1"], jobs()),
        (&["uninstall", "a:0.0.1"], jobs()),
        // What is printed as it comes has the shape of 0.9.2.
        (&["--json", "mount", "a:0.0.1"], Value::Null),
        (&["events"], details()),
        (
            &[
                "events", "a*", "b", "c:1.0.0", "--kind", "exit", "-k", "cgroup",
            ],
            filter(json!({
                "containers": ["a*", "b", "c:1.0.0"], "kinds": ["exit", "c_group", "shutdown"],
            })),
        ),
        (
            &["--json", "events", "a"],
            filter(json!({"containers": ["a"]})),
        ),
        (
            &["events", "-k", "started"],
            filter(json!({"kinds": ["started", "shutdown"]})),
        ),
        // More than the daemon takes is left to nstar.
        (&[&["events"], &many[..]].concat(), details()),
    ];
    for (words, extensions) in cases {
        // The daemon closes at once: only the handshake counts.
        let daemon = Daemon::asked_for(extensions, r#"{"connect_ack":null}"#, Vec::new());
        let output = daemon.run(words);
        assert_eq!(output.status.code(), Some(3), "{words:?}: {output:?}");
    }
}

#[test]
fn what_the_daemon_sends_in_spite_of_the_filter_is_not_shown() {
    for handshake in [r#"{"connect_ack":null}"#, DETAILS] {
        let steps = vec![
            Step::Say(r#"{"notification":{"started":$C}}"#),
            Step::Say(r#"{"notification":{"started":"b:1.0.0"}}"#),
            Step::Say(r#"{"notification":{"exit":[$D,{"exit":{"code":1}}]}}"#),
            Step::Say(r#"{"notification":{"exit":["b:1.0.0",{"exit":{"code":2}}]}}"#),
            Step::Wait,
        ];
        let daemon = Daemon::answering(handshake, steps);
        let output = daemon.run(&["events", "-n", "1", "-k", "exit", "b"]);
        assert_eq!(stdout(&output), "exit b:1.0.0 code 2\n");
    }
}

#[test]
fn an_interrupt_takes_back_what_is_not_done() {
    let (steps, told) = told(|test| {
        vec![
            Step::Expect(MOUNT),
            Step::Say(PROGRESS),
            Step::Tell(test),
            Step::Expect(CANCEL),
            Step::Say(CANCELLING),
            Step::Say(
                r#"{"id":1,"response":{"mount":[{"ok":{"container":$C}},{"error":{"container":$D,"error":{"cancelled":{}}}}]}}"#,
            ),
            Step::End,
        ]
    });
    let output = interrupted(JOBS, &["mount", "a:0.0.1", "a:0.0.2"], steps, told);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(stdout(&output), "mounted a:0.0.1\n");
}

#[test]
fn a_second_interrupt_does_not_wait() {
    let (steps, told) = told(|test| {
        vec![
            Step::Expect(MOUNT),
            Step::Tell(test.clone()),
            Step::Expect(CANCEL),
            Step::Tell(test),
            Step::End,
        ]
    });
    let output = interrupted(JOBS, &["mount", "a:0.0.1", "a:0.0.2"], steps, told);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(stdout(&output), "");
}

#[test]
fn an_interrupt_that_comes_too_late_ends_what_would_come_next() {
    let (steps, told) = told(|test| {
        vec![
            Step::Expect(r#"{"id":1,"request":{"uninstall":{"container":$C,"wipe":false}}}"#),
            Step::Tell(test),
            Step::Expect(CANCEL),
            Step::Say(r#"{"id":1,"response":{"uninstall":{"ok":{"container":$C}}}}"#),
            Step::Say(
                r#"{"id":2,"response":{"cancel":{"error":{"id":1,"error":{"unknown_id":{"id":1}}}}}}"#,
            ),
            Step::End,
        ]
    });
    let output = interrupted(JOBS, &["uninstall", "a:0.0.1", "a:0.0.2"], steps, told);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(stdout(&output), "uninstalled a:0.0.1\n");
}

#[test]
fn waiting_for_a_container_is_ended_and_the_container_is_not() {
    let daemon = Daemon::answering(
        JOBS,
        vec![
            Step::Expect(
                r#"{"id":1,"request":{"start":{"container":$C,"init":null,"arguments":[],"environment":{}}}}"#,
            ),
            Step::Say(r#"{"id":1,"response":{"start":{"ok":{"container":$C}}}}"#),
            Step::End,
        ],
    );
    let mut child = spawn(&daemon, &["start", "--wait", "a:0.0.1"]);
    // Then it is only waiting.
    let mut line = String::new();
    let mut printed = BufReader::new(child.stdout.take().unwrap());
    printed.read_line(&mut line).unwrap();
    assert_eq!(line, "started a:0.0.1\n");
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    daemon.end();
}

#[test]
fn with_a_daemon_of_0_9_2_an_interrupt_is_that_of_any_program() {
    let (steps, told) = told(|test| {
        vec![
            Step::Expect(r#"{"request":{"mount":{"containers":[$C,$D]}}}"#),
            Step::Tell(test),
            Step::End,
        ]
    });
    let words = ["mount", "a:0.0.1", "a:0.0.2"];
    let output = interrupted(r#"{"connect_ack":null}"#, &words, steps, told);
    assert_eq!(
        output.status.signal(),
        Some(Signal::SIGINT as i32),
        "{output:?}"
    );
}

/// A package of this many bytes, and the request for it.
fn package(size: usize) -> (tempfile::TempDir, String, &'static str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npk");
    fs::write(&path, vec![7; size]).unwrap();
    let request =
        format!(r#"{{"id":1,"request":{{"install":{{"repository":"default","size":{size}}}}}}}"#);
    let path = path.to_str().unwrap().to_owned();
    (dir, path, request.leak())
}

#[test]
fn an_interrupt_takes_back_an_install() {
    // More than the sockets hold: the daemon has a part of it.
    let (_dir, path, request) = package(16 << 20);
    let words = ["install", "--repository", "default", &path];
    let (told_first, hear) = mpsc::channel();
    let (go_on, wait) = mpsc::channel();
    let daemon = Daemon::answering(
        JOBS,
        vec![
            Step::Expect(request),
            Step::Take(1000),
            Step::Tell(told_first),
            Step::Pause(wait),
        ],
    );
    let child = spawn(&daemon, &words);
    hear.recv_timeout(PATIENCE).unwrap();
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    go_on.send(()).unwrap();
    daemon.end();

    // The daemon has all of it.
    let (_dir, path, request) = package(1000);
    let words = ["install", "--repository", "default", &path];
    let (steps, told) = told(|test| {
        vec![
            Step::Expect(request),
            Step::Take(1000),
            Step::Say(r#"{"id":1,"progress":{"done":1000,"total":1000,"unit":"bytes"}}"#),
            Step::Tell(test),
            Step::Expect(CANCEL),
            Step::Say(CANCELLING),
            Step::Say(r#"{"id":1,"response":{"install":{"error":{"error":{"cancelled":{}}}}}}"#),
            Step::End,
        ]
    });
    let output = interrupted(JOBS, &words, steps, told);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
}

#[test]
fn the_bar_shows_what_the_daemon_has_and_then_that_it_checks() {
    let (_dir, path, request) = package(1000);
    let (go_on, first) = mpsc::channel();
    let (finish, second) = mpsc::channel();
    let daemon = Daemon::answering(
        JOBS,
        vec![
            Step::Expect(request),
            Step::Take(1000),
            Step::Say(r#"{"id":1,"progress":{"done":250,"total":1000,"unit":"bytes"}}"#),
            Step::Pause(first),
            Step::Say(r#"{"id":1,"progress":{"done":1000,"total":1000,"unit":"bytes"}}"#),
            Step::Pause(second),
            Step::Say(r#"{"id":1,"response":{"install":{"ok":{"container":$C}}}}"#),
            Step::End,
        ],
    );
    let url = format!("unix://{}/console", daemon.dir.path().display());
    let words = ["--url", &url, "install", "-r", "default", &path];
    let mut terminal = Terminal::run(10, 60, &words);
    // All of it is sent, and a quarter has arrived.
    terminal.expect_text("250 B/1000 B");
    go_on.send(()).unwrap();
    terminal.expect_text("a.npk: the daemon checks it");
    finish.send(()).unwrap();
    assert_eq!(terminal.wait().code(), Some(0));
    terminal.expect_text("installed a:0.0.1 in default");
    daemon.end();
}
