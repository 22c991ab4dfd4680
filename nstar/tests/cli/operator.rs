//! What an operator runs into: many containers, narrow terminals, refusals that have to be understood.

use std::process::{Command, Output};

use crate::{
    console::Console,
    daemon::{DETAILS, Daemon, LIST, Step, inspected, ok, stdout},
    terminal::Terminal,
};

/// Runs the program without a daemon.
fn program(words: &[&str]) -> Output {
    let mut nstar = Command::new(env!("CARGO_BIN_EXE_nstar"));
    nstar.args(words).env_remove("NSTAR_URL").output().unwrap()
}

/// Runs the program and returns its exit code and standard error.
fn told(daemon: Daemon, words: &[&str]) -> (Option<i32>, String) {
    let output = daemon.run(words);
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), stderr)
}

#[test]
fn more_containers_than_a_request_may_name_are_asked_for_in_parts() {
    let names: Vec<String> = (0..1500).map(|n| format!("\"a{n}:1.0.0\"")).collect();
    let part = |verb: &str, names: &[String]| {
        let results = names
            .iter()
            .map(|n| format!(r#"{{"ok":{{"container":{n}}}}}"#));
        let results: Vec<String> = results.collect();
        Step::Answer(
            format!(r#"{{"{verb}":{{"containers":[{}]}}}}"#, names.join(",")).leak(),
            format!(r#"{{"{verb}":[{}]}}"#, results.join(",")).leak(),
        )
    };
    for (verb, done) in [("mount", "mounted"), ("umount", "unmounted")] {
        let steps = vec![part(verb, &names[..1024]), part(verb, &names[1024..])];
        let bare = names.iter().map(|name| name.trim_matches('"'));
        let words: Vec<&str> = [verb].into_iter().chain(bare.clone()).collect();
        let expected: String = bare.map(|name| format!("{done} {name}\n")).collect();
        assert_eq!(ok(&words, steps), expected);
    }
}

#[test]
fn kill_takes_the_signal_as_that_of_unix_does() {
    let steps = || {
        vec![Step::Answer(
            r#"{"kill":{"container":$C,"signal":10}}"#,
            r#"{"kill":{"ok":{"container":$C}}}"#,
        )]
    };
    for words in [
        ["kill", "-s", "USR1", "a:0.0.1"],
        ["kill", "--signal", "10", "a:0.0.1"],
        ["kill", "a:0.0.1", "-s", "SIGUSR1"],
    ] {
        assert_eq!(
            ok(&words, steps()),
            "sent signal 10 (SIGUSR1) to a:0.0.1\n",
            "{words:?}"
        );
    }
    for words in [
        &["kill", "-s", "9", "a", "TERM"][..],
        &["kill", "-s", "9"],
        &["kill", "-s", "a"],
    ] {
        let output = Daemon::unused().nstar(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

#[test]
fn what_is_wrong_with_a_command_line_is_told() {
    for (words, word) in [
        (
            &["--url", "tcp://h:99999", "ident"][..],
            "invalid port number",
        ),
        (&["kill", "a", "SIGNOTHING"], "Usage: nstar kill"),
    ] {
        let output = program(words);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(word), "{stderr}");
    }
}

#[test]
fn list_is_not_broken_within_words_on_a_narrow_terminal() {
    let steps = vec![
        Step::Answer(r#""list""#, r#"{"list":[$C]}"#),
        inspected("a:0.0.1", true, true),
    ];
    let daemon = Daemon::new(steps);
    let url = format!("unix://{}/console", daemon.dir.path().display());
    let mut terminal = Terminal::run(20, 40, &["--url", &url, "list"]);
    terminal.expect_text("UPTIME");
    assert_eq!(terminal.wait().code(), Some(0));
    let lines = terminal.lines();
    let shown: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    assert_eq!(
        shown[..6],
        [
            "NAME        a",
            "VERSION     0.0.1",
            "REPOSITORY  r",
            "STATE       running",
            "PID         42",
            "UPTIME      1m 1s",
        ]
    );
    daemon.end();
}

#[test]
fn terminals_of_another_encoding_get_ascii() {
    for (locale, keys) in [("C.UTF-8", "↑↓ choose"), ("C", "up/down choose")] {
        let console = Console::new(true);
        let words = ["--url", &console.url(), "top", "--delay", "50ms"];
        let mut terminal = Terminal::run_in(locale, 24, 100, &words);
        terminal.expect_text(keys);
        let lines = terminal.lines();
        assert_eq!(lines.concat().is_ascii(), locale == "C", "{lines:?}");
        terminal.press("q");
        assert!(terminal.wait().success());
    }
}

#[test]
fn what_runs_is_not_uninstalled_and_being_mounted_is_not_the_reason() {
    let steps = vec![Step::Answer(
        r#"{"uninstall":{"container":$C,"wipe":false}}"#,
        r#"{"uninstall":{"error":{"container":$C,"error":{"umount_busy":{"container":$C}}}}}"#,
    )];
    let (code, stderr) = told(Daemon::new(steps), &["uninstall", "a:0.0.1"]);
    assert_eq!(code, Some(8));
    assert_eq!(
        stderr,
        "nstar: a:0.0.1 is running or in use\nhint: `nstar stop a:0.0.1` if it runs\n"
    );
}

#[test]
fn what_runs_stays_and_the_others_are_uninstalled() {
    let steps = vec![
        Step::Answer(
            r#"{"uninstall":{"container":$C,"wipe":false}}"#,
            r#"{"uninstall":{"error":{"container":$C,"error":{"umount_busy":{"container":$C}}}}}"#,
        ),
        Step::Answer(
            r#"{"uninstall":{"container":$D,"wipe":false}}"#,
            r#"{"uninstall":{"ok":{"container":$D}}}"#,
        ),
    ];
    let output = Daemon::new(steps).run(&["uninstall", "a:0.0.1", "a:0.0.2"]);
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    assert_eq!(stdout(&output), "uninstalled a:0.0.2\n");
}

#[test]
fn a_refused_package_is_called_refused_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npk");
    std::fs::write(&path, b"package").unwrap();
    let path = path.to_str().unwrap();
    let refused = r#"{"install":{"error":{"error":{"package_refused":{"repository":"r","error":"it is not signed"}}}}}"#;
    let request = r#"{"install":{"repository":"r","size":7}}"#.to_owned();
    let steps = || vec![Step::Install(request.clone(), b"package", refused)];
    let (code, stderr) = told(Daemon::answering(DETAILS, steps()), &["install", path, "r"]);
    assert_eq!(code, Some(7));
    assert_eq!(
        stderr,
        format!(
            "nstar: {path} was refused: it is not signed\nhint: `sextant inspect {path}` shows what is in it\n"
        )
    );
    let daemon = Daemon::answering(DETAILS, steps());
    let output = daemon.run_with_input(&["install", "-", "-r", "r"], b"package");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "nstar: the standard input was refused: it is not signed\n\
         hint: `sextant inspect` shows what is in it, once it is a file\n"
    );
}

#[test]
fn who_must_not_ask_for_repositories_is_told_to_name_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npk");
    std::fs::write(&path, b"package").unwrap();
    let denied = Step::Answer(
        r#""repository_details""#,
        r#"{"permission_denied":"repository_details"}"#,
    );
    let daemon = Daemon::answering(DETAILS, vec![denied]);
    let (code, stderr) = told(daemon, &["install", path.to_str().unwrap()]);
    assert_eq!(code, Some(4), "{stderr}");
    assert!(stderr.contains("hint: --repository names one"), "{stderr}");
}

#[test]
fn a_daemon_that_says_nothing_is_no_connection_whatever_time_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("console");
    let _silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let url = format!("unix://{}", path.display());
    for _ in 0..5 {
        let words = ["--url", &url, "--timeout", "20ms", "list"];
        let output = program(&words);
        assert_eq!(output.status.code(), Some(6), "{output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("no connection within 20ms"), "{stderr}");
    }
}

#[test]
fn a_name_that_is_not_installed_is_5_with_where_to_look() {
    let (code, stderr) = told(Daemon::new(vec![LIST]), &["stop", "nope"]);
    assert_eq!(code, Some(5));
    assert_eq!(
        stderr,
        "nstar: there is no container nope\n\
         hint: `nstar list` shows the installed containers and what they are doing\n"
    );
    let output = Daemon::new(vec![LIST]).run(&["--json", "stop", "nope"]);
    assert_eq!(stdout(&output), "");
}
