//! Daemons, readers and users that mean harm, or make a mistake.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    console::Console,
    daemon::{DETAILS, Daemon, Step, stdout},
    terminal::Terminal,
};

/// Waits for the end of a program and tells its exit code.
fn end(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("nstar does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_the_daemon_says_does_nothing_to_a_terminal() {
    let named = r#"{"repository_details":[{"repository":"a\u001b[2J\u009bm\nb","type":"fs","keyed":true,"integrity":"none"}]}"#;
    let steps = vec![Step::Answer(r#""repository_details""#, named)];
    let output = Daemon::answering(DETAILS, steps).run(&["repositories"]);
    let text = stdout(&output);
    assert!(text.contains(r"a\u{1b}[2J\u{9b}m\nb"), "{text:?}");

    let named = r#"{"repositories":["a\u001b[2J\nb"]}"#;
    let steps = vec![Step::Answer(r#""repositories""#, named)];
    let output = Daemon::new(steps).run(&["repositories"]);
    assert_eq!(stdout(&output), "a\\u{1b}[2J\\nb\n", "{output:?}");

    let failed = r#"{"mount":[{"error":{"container":$C,"error":{"unexpected":{"error":"x\u001b]0;title\u0007\nhint: rm"}}}}]}"#;
    let steps = vec![Step::Answer(r#"{"mount":{"containers":[$C]}}"#, failed)];
    let output = Daemon::new(steps).run(&["mount", "a:0.0.1"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "nstar: a:0.0.1: x\\u{1b}]0;title\\u{7}\\nhint: rm\n"
    );
}

#[test]
fn json_is_left_alone_unless_a_terminal_shows_it() {
    let answer = "{\"repositories\":[\"a\u{9b}2J\"]}";
    let steps = vec![Step::Answer(r#""repositories""#, answer)];
    let output = Daemon::new(steps).run(&["--json", "repositories"]);
    assert_eq!(
        stdout(&output),
        format!("{{\"response\":{answer}}}\n"),
        "{output:?}"
    );
    let daemon = Daemon::new(vec![Step::Answer(r#""repositories""#, answer)]);
    let url = format!("unix://{}/console", daemon.dir.path().display());
    let mut terminal = Terminal::run(24, 100, &["--url", &url, "--json", "repositories"]);
    terminal.expect_text(r#"["a\u009b2J"]"#);
    assert!(terminal.wait().success());
    daemon.end();
}

#[test]
fn the_time_bounds_output_that_nobody_reads() {
    // More than a pipe holds.
    let line = r#"{"notification":{"started":$C}}"#;
    for (words, code) in [
        (&["-t", "2s", "events"][..], 0),
        (&["-t", "2s", "events", "-n", "100000"], 6),
    ] {
        let steps = (0..20_000).map(|_| Step::Say(line)).chain([Step::Wait]);
        let daemon = Daemon::new(steps.collect());
        let mut child = daemon
            .nstar(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        assert_eq!(end(&mut child), Some(code), "{words:?}");
        // It has been stuck.
        let mut text = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut text).unwrap();
        assert!(text.len() >= 4096, "{}", text.len());
    }
}

#[test]
fn the_time_bounds_a_recording_that_does_not_come() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nstar"))
        .args(["-t", "100ms", "seccomp", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Waiting for a child closes what is held here.
    let held = child.stdin.take();
    assert_eq!(end(&mut child), Some(6));
    drop(held);
}

#[test]
fn samples_that_nobody_reads_are_not_taken() {
    let console = Console::new(true);
    let mut child = Command::new(env!("CARGO_BIN_EXE_nstar"))
        .args(["--url", &console.url(), "--json", "top"])
        .args(["--number", "1000000", "--delay", "1ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(end(&mut child), Some(0));
}

#[test]
fn what_was_refused_is_told_if_the_connection_is_lost_later() {
    let list = Step::Answer(r#""list""#, r#"{"list":[$C,$D]}"#);
    let refused = Step::Answer(
        r#"{"uninstall":{"container":$C,"wipe":false}}"#,
        r#"{"uninstall":{"error":{"container":$C,"error":{"unexpected":{"error":"it runs"}}}}}"#,
    );
    let output = Daemon::new(vec![list, refused]).run(&["uninstall", "a*"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("nstar: a:0.0.1: it runs\n"), "{stderr}");
}

#[test]
fn a_pattern_is_shown_at_a_terminal_before_it_removes_anything() {
    let uninstall = |words: &[&str], answer: &str| {
        let console = Console::new(false);
        let url = console.url();
        let words = [&["--url", &url, "uninstall"], words].concat();
        let mut terminal = Terminal::run(24, 100, &words);
        if !answer.is_empty() {
            terminal.expect_text("uninstall app:1.0.0, tool:2.0.0 and their data? [y/N]");
            assert_eq!(console.uninstalled(), [""; 0]);
            terminal.press(answer);
        }
        (terminal.wait().code(), console.uninstalled())
    };
    let all = vec!["app:1.0.0".to_owned(), "tool:2.0.0".to_owned()];
    for answer in ["n\r", "\r", "what\r", "\u{4}"] {
        assert_eq!(
            uninstall(&["--wipe", "*"], answer),
            (Some(1), vec![]),
            "{answer:?}"
        );
    }
    assert_eq!(uninstall(&["--wipe", "*"], "y\r"), (Some(0), all.clone()));
    assert_eq!(uninstall(&["--wipe", "--yes", "*"], ""), (Some(0), all));
    // Who writes a name means it.
    assert_eq!(
        uninstall(&["tool"], ""),
        (Some(0), vec!["tool:2.0.0".to_owned()])
    );
}
