//! Exit codes.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use crate::daemon::{Daemon, LIST, Step, inspected, stdout};

/// Runs the program against a daemon and expects an exit code, a word on standard error and nothing
/// else.
fn fails(words: &[&str], steps: Vec<Step>, code: i32, word: &str) {
    let output = Daemon::new(steps).run(words);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
    assert_eq!(stdout(&output), "");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("nstar: ") && stderr.contains(word),
        "{stderr}"
    );
}

const START: &str = r#"{"start":{"container":$C,"init":null,"arguments":[],"environment":{}}}"#;

#[test]
fn what_the_daemon_refuses_is_1() {
    let failed = r#"{"start":{"error":{"container":$C,"error":{"start_container_failed":{"container":$C,"error":"execve: ENOENT"}}}}}"#;
    let steps = vec![Step::Answer(START, failed)];
    fails(&["start", "a:0.0.1"], steps, 1, "execve: ENOENT");
}

#[test]
fn a_state_that_does_not_allow_it_is_8_with_what_to_do_about_it() {
    let started = r#"{"start":{"error":{"container":$C,"error":{"start_container_started":{"container":$D}}}}}"#;
    let steps = vec![Step::Answer(START, started)];
    fails(&["start", "a:0.0.1"], steps, 8, "a:0.0.2 is running");
    let steps = vec![Step::Answer(START, started)];
    fails(
        &["start", "a:0.0.1"],
        steps,
        8,
        "hint: `nstar stop a:0.0.2`",
    );

    // With --json the answer is on standard output all the same.
    let output = Daemon::new(vec![Step::Answer(START, started)]).run(&["-j", "start", "a:0.0.1"]);
    assert_eq!(output.status.code(), Some(8));
    assert!(stdout(&output).contains("start_container_started"));
}

#[test]
fn one_of_several_that_fails_is_told_and_the_others_too() {
    let steps = vec![Step::Answer(
        r#"{"mount":{"containers":[$C,$D]}}"#,
        r#"{"mount":[{"error":{"container":$C,"error":{"mount_busy":{"container":$C}}}},{"ok":{"container":$D}}]}"#,
    )];
    let output = Daemon::new(steps).run(&["mount", "a:0.0.1", "a:0.0.2"]);
    assert_eq!(output.status.code(), Some(8));
    assert_eq!(stdout(&output), "mounted a:0.0.2\n");
}

/// Runs `umount` of two containers against an answer and returns standard error.
fn refused_umount(answer: &'static str, code: i32) -> String {
    let request = r#"{"umount":{"containers":[$C,$D]}}"#;
    let steps = vec![Step::Answer(request, answer)];
    let output = Daemon::new(steps).run(&["umount", "a:0.0.1", "a:0.0.2"]);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_container_in_use_is_named_with_its_user() {
    let used = r#"{"umount":[{"error":{"container":$C,"error":{"umount_busy":{"container":"b:1.0.0"}}}},{"ok":{"container":$D}}]}"#;
    assert_eq!(
        refused_umount(used, 8),
        "nstar: a:0.0.1: in use by b:1.0.0\nhint: `nstar stop b:1.0.0` first\n"
    );
    let itself = r#"{"umount":[{"ok":{"container":$C}},{"error":{"container":$D,"error":{"umount_busy":{"container":$D}}}}]}"#;
    assert_eq!(
        refused_umount(itself, 8),
        "nstar: a:0.0.2 is running or not mounted\nhint: `nstar list` shows what it does; `nstar stop a:0.0.2` if it runs\n"
    );
}

#[test]
fn each_of_several_failures_names_its_target() {
    let both = r#"{"umount":[{"error":{"container":$C,"error":{"umount_busy":{"container":"b:1.0.0"}}}},{"error":{"container":$D,"error":{"unexpected":{"error":"no memory"}}}}]}"#;
    assert_eq!(
        refused_umount(both, 1),
        "nstar: a:0.0.1: in use by b:1.0.0\nhint: `nstar stop b:1.0.0` first\n\
         nstar: a:0.0.2: no memory\nnstar: not everything was done\n"
    );
}

#[test]
fn a_cause_is_told_once() {
    let output = Daemon::answering("220 ESMTP", vec![]).run(&["--json", "list"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        stderr.lines().next().unwrap(),
        "nstar: the handshake failed: a line is not a message of the console protocol: \
         expected value at line 1 column 1"
    );
}

/// What comes from there may take longer than a daemon waits for a client that says nothing.
#[test]
fn the_standard_input_is_taken_before_there_is_a_connection() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("unix://{}/none", dir.path().display());
    let output = Command::new(env!("CARGO_BIN_EXE_nstar"))
        .args(["--url", &url, "install", "-"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("the standard input is empty"), "{stderr}");
}

#[test]
fn a_package_that_cannot_be_one_is_1_before_there_is_a_connection() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("unix://{}/none", dir.path().display());
    let empty = dir.path().join("empty.npk");
    std::fs::write(&empty, b"").unwrap();
    let socket = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let pipe = dir.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let missing = dir.path().join("missing.npk");
    let null = std::path::Path::new("/dev/null");
    for path in [dir.path(), &empty, &socket, &pipe, &missing, null] {
        let path = path.to_str().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_nstar"))
            .args(["--url", &url, "install", path])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(path), "{stderr}");
    }
}

#[test]
fn a_package_that_shrinks_while_it_is_sent_is_1() {
    // Far more than a socket holds, so that nstar has not read all of it when it is emptied.
    const SIZE: u64 = 64 << 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npk");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(SIZE).unwrap();
    let request = format!(r#"{{"install":{{"repository":"r","size":{SIZE}}}}}"#);
    let steps = vec![Step::Truncate(request, path.clone())];
    let path = path.to_str().unwrap();
    fails(&["install", path, "r"], steps, 1, path);
}

#[test]
fn a_wrong_command_line_is_2() {
    let run = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_nstar"))
            .args(words)
            .output()
            .unwrap();
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{words:?}: {output:?}"
        );
        output.status.code()
    };
    for words in [
        &["dance"][..],
        &[],
        &["start"],
        &["start", "a/b"],
        &["start", "a:1"],
        &["kill", "a", "SIGNOTHING"],
        &["kill", "a", "-NOTHING"],
        &["kill", "a", "--9"],
        &["kill", "a", "-"],
        &["kill", "-9"],
        &["kill", "--nine", "a"],
        &["stop", "[a"],
        &["stop", "--grace", "soon", "a"],
        &["inspect"],
        &["install"],
        &["token", "a"],
        &["verify-token", "no base64", "a", "x"],
        &["events", "--kind", "dance"],
        &["--color", "sometimes", "list"],
        &["mount"],
        &["--url", "http://localhost", "list"],
        &["--timeout", "soon", "list"],
        &["completion"],
    ] {
        assert_eq!(run(words), Some(2), "{words:?}");
    }
}

#[test]
fn tls_needs_certificates_that_can_be_read() {
    let run = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_nstar"))
            .args(["--url", "tls://localhost:1", "list"])
            .args(words)
            .env_remove("NSTAR_TLS_CA")
            .env_remove("NSTAR_TLS_CERT")
            .env_remove("NSTAR_TLS_KEY")
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), stderr)
    };
    let (code, stderr) = run(&[]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("--tls-ca"), "{stderr}");
    let absent = [
        "--tls-ca",
        "/no/ca",
        "--tls-cert",
        "/no/cert",
        "--tls-key",
        "/no/key",
    ];
    let (code, stderr) = run(&absent);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("/no/ca"), "{stderr}");
}

#[test]
fn a_name_that_could_mean_several_is_2() {
    fails(&["uninstall", "a"], vec![LIST], 2, "a:0.0.1, a:0.0.2");
    let steps = vec![
        LIST,
        inspected("a:0.0.1", true, false),
        inspected("a:0.0.2", true, false),
    ];
    fails(&["umount", "a"], steps, 2, "a:0.0.1, a:0.0.2");
}

#[test]
fn no_connection_is_3() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("unix://{}/none", dir.path().display());
    let output = Command::new(env!("CARGO_BIN_EXE_nstar"))
        .args(["list", "--url", &url])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");

    fails(&["list"], vec![], 3, "connection");
    fails(&["notifications"], vec![], 3, "lost");
    let nack = r#"{"connect_nack":{"invalid_protocol_version":{"version":"7.0.0"}}}"#;
    let output = Daemon::answering(nack, vec![]).run(&["list"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("7.0.0"));
}

#[test]
fn a_missing_permission_is_named() {
    let denied = r#"{"permission_denied":{"start":{"container":$C,"init":"/x","arguments":[],"environment":{}}}}"#;
    let start = r#"{"start":{"container":$C,"init":"/x","arguments":[],"environment":{}}}"#;
    let steps = vec![Step::Answer(start, denied)];
    fails(&["start", "a:0.0.1", "/x"], steps, 4, "`start_command`");
}

#[test]
fn no_permission_is_4() {
    let denied = r#"{"permission_denied":"list"}"#;
    fails(
        &["list"],
        vec![Step::Answer(r#""list""#, denied)],
        4,
        "permission",
    );
    fails(
        &["start", "a"],
        vec![Step::Answer(r#""list""#, denied)],
        4,
        "permission",
    );
    let nack = r#"{"connect_nack":"permission_denied"}"#;
    let output = Daemon::answering(nack, vec![]).run(&["notifications"]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
}

#[test]
fn no_such_container_is_5() {
    fails(&["start", "c"], vec![LIST], 5, "no container c");
    let unknown =
        r#"{"start":{"error":{"container":$C,"error":{"invalid_container":{"container":$C}}}}}"#;
    fails(
        &["start", "a:0.0.1"],
        vec![Step::Answer(START, unknown)],
        5,
        "a:0.0.1",
    );
}

#[test]
fn a_pattern_that_matches_nothing_is_5() {
    fails(&["stop", "c*"], vec![LIST], 5, "`c*`");
    let steps = || {
        vec![
            LIST,
            inspected("a:0.0.1", true, false),
            inspected("a:0.0.2", true, false),
        ]
    };
    // There are such containers, but none that runs.
    fails(&["stop", "a*"], steps(), 5, "no container that runs");
    fails(&["kill", "-9", "a*"], steps(), 5, "no container that runs");
    fails(&["mount", "a*"], steps(), 5, "not mounted");
    fails(&["uninstall", "c*"], vec![LIST], 5, "`c*`");
}

#[test]
fn no_answer_in_time_is_6() {
    let output = Daemon::new(vec![Step::Wait]).run(&["-t", "50ms", "list"]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("console");
    let _silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let url = format!("unix://{}", path.display());
    let output = Command::new(env!("CARGO_BIN_EXE_nstar"))
        .args(["--timeout", "50ms", "--url", &url, "list"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(6), "{output:?}");
}

#[test]
fn the_time_bounds_waiting_too() {
    let steps = vec![
        Step::Answer(START, r#"{"start":{"ok":{"container":$C}}}"#),
        Step::Wait,
    ];
    let output = Daemon::new(steps).run(&["-t", "300ms", "start", "--wait", "a:0.0.1"]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    assert_eq!(stdout(&output), "started a:0.0.1\n");

    let kill = r#"{"kill":{"container":$C,"signal":15}}"#;
    let steps = vec![
        Step::Answer(kill, r#"{"kill":{"ok":{"container":$C}}}"#),
        Step::Wait,
    ];
    let output = Daemon::new(steps).run(&["-t", "300ms", "stop", "a:0.0.1"]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");

    // What was to go on until it is interrupted has not failed.
    let started = Step::Say(r#"{"notification":{"started":$C}}"#);
    let output = Daemon::new(vec![started, Step::Wait]).run(&["-t", "300ms", "events"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(stdout(&output), "started a:0.0.1\n");
    let output = Daemon::new(vec![Step::Wait]).run(&["-t", "300ms", "events", "-n", "1"]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
}

#[test]
fn a_refused_package_is_7() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npk");
    std::fs::write(&path, b"package").unwrap();
    let path = path.to_str().unwrap();
    let install = |error: &str| {
        vec![Step::Install(
            r#"{"install":{"repository":"r","size":7}}"#.to_owned(),
            b"package",
            format!(r#"{{"install":{{"error":{{"error":{error}}}}}}}"#).leak(),
        )]
    };
    let words = ["install", "-r", "r", path];
    let bad = install(r#"{"unexpected":{"error":"the signature does not fit"}}"#);
    fails(&words, bad, 7, "signature");
    let duplicate = install(r#"{"install_duplicate":{"container":$C}}"#);
    fails(&words, duplicate, 8, "hint: `nstar uninstall a:0.0.1`");
    let unknown = install(r#"{"invalid_repository":{"repository":"r"}}"#);
    fails(&words, unknown, 1, "hint: `nstar repositories`");
}

#[test]
fn a_bad_token_is_1() {
    let token = format!("{}==", "A".repeat(54));
    let request = format!(r#"{{"token_verify":{{"token":"{token}","user":"b","shared":"eA=="}}}}"#);
    let steps = vec![Step::Answer(
        request.leak(),
        r#"{"token_verification":"Expired"}"#,
    )];
    fails(&["verify-token", &token, "b", "x"], steps, 1, "too old");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let daemon = Daemon::new(vec![
        Step::Say(r#"{"notification":{"started":$C}}"#),
        Step::Say(r#"{"notification":{"started":$C}}"#),
        Step::Wait,
    ]);
    let mut child = daemon
        .nstar(&["notifications"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        assert!(
            std::time::Instant::now() < deadline,
            "nstar goes on without a reader"
        );
        std::thread::yield_now();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_help_of_a_verb_keeps_its_own_options_apart() {
    for verb in [
        "start",
        "stop",
        "kill",
        "install",
        "uninstall",
        "notifications",
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_nstar"))
            .args([verb, "--help"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let (own, common) = stdout(&output).split_once("\nCommon options:\n").unwrap();
        for option in ["--url", "--timeout", "--json", "--color"] {
            assert!(common.contains(option), "{verb} {option}");
            assert!(!own.contains(option), "{verb} {option}");
        }
        let longest = stdout(&output).lines().map(|line| line.chars().count());
        assert!(longest.max() <= Some(100), "{verb}");
    }
}

#[test]
fn a_completion_script_for_each_shell() {
    let run = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_nstar"))
            .args(words)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        stdout(&output).to_owned()
    };
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completion", shell]);
        assert!(script.contains("NSTAR_COMPLETE"), "{shell}");
        assert_eq!(run(&["completion", "-s", shell]), script);
    }
}
