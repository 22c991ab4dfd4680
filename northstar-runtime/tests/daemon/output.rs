//! Where the output of containers goes.

use crate::harness::Site;
use nix::sys::signal::Signal;
use std::process::Command;

#[test]
fn piped_lines_are_records_that_end_in_the_line() {
    let site = Site::new();
    let script = r#"echo "a \"quoted\" line"; printf 'esc \033[31m\n' >&2; printf 'no newline'"#;
    let app = site.shell("app", script, "io: {stdout: pipe, stderr: pipe}", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    console.exit_of(&app);
    daemon.signal(Signal::SIGTERM);
    let log = daemon.wait().stderr;
    for record in [
        r#" app:0.0.1 stdout a "quoted" line"#,
        r" app:0.0.1 stderr esc \x1b[31m",
        " app:0.0.1 stdout no newline",
    ] {
        assert!(
            log.lines().any(|line| line.ends_with(record)),
            "{record}: {log}"
        );
    }
}

/// What a container wrote, by its stream, when the daemon has ended.
fn records(script: &str) -> (serde_json::Value, Vec<String>, Vec<String>) {
    let site = Site::new();
    let app = site.shell("app", script, "io: {stdout: pipe, stderr: pipe}", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    let end = console.exit_of(&app);
    daemon.signal(Signal::SIGTERM);
    let log = daemon.wait().stderr;
    let of = |stream: &str| {
        let tag = format!(" app:0.0.1 {stream} ");
        let lines = log.lines().filter_map(|line| line.split_once(&tag));
        lines.map(|(_, line)| line.to_owned()).collect()
    };
    (end, of("stdout"), of("stderr"))
}

#[test]
fn streams_do_not_mix_their_lines() {
    let script = "for part in one two three; do printf \"$part \"; printf \"$part-\" >&2; done
        echo; echo >&2";
    let (_, stdout, stderr) = records(script);
    assert_eq!(stdout, ["one two three "]);
    assert_eq!(stderr, ["one-two-three-"]);
}

#[test]
fn bytes_that_are_no_text_are_escaped() {
    let script = r"printf 'nul \000 wrong \377\300\200 c1 \302\233 bidi \342\200\256\n'";
    let (_, stdout, _) = records(script);
    assert_eq!(
        stdout,
        [r"nul \x00 wrong \xff\xc0\x80 c1 \u{9b} bidi \u{202e}"]
    );
}

#[test]
fn container_that_closes_its_output_goes_on() {
    let script = "echo last; exec >&- 2>&-; sleep 0.1; exit 3";
    let (end, stdout, stderr) = records(script);
    assert_eq!(end, serde_json::json!({"exit": {"code": 3}}));
    assert_eq!((stdout, stderr), (vec!["last".to_owned()], vec![]));
}

#[test]
fn thousand_lines_pass_at_once_and_in_order() {
    let site = Site::new();
    let script = "i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done";
    let app = site.shell("app", script, "io: {stdout: pipe}", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    console.exit_of(&app);
    daemon.signal(Signal::SIGTERM);
    let log = daemon.wait().stderr;
    let lines: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once("app:0.0.1 stdout "))
        .map(|(_, line)| line)
        .collect();
    let expected: Vec<String> = (0..1000).map(|number| format!("line {number}")).collect();
    assert_eq!(lines, expected);
}

#[test]
fn inherited_output_is_copied_byte_by_byte() {
    let site = Site::new();
    let script = r"printf 'raw \033 bytes'";
    let app = site.shell("app", script, "io: {stdout: inherit}", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    console.exit_of(&app);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait().stdout, "raw \x1b bytes");
}

#[test]
fn standard_streams_are_no_terminal_and_input_is_empty() {
    let site = Site::new();
    let script = "[ ! -t 0 ] && [ ! -t 1 ] && [ ! -t 2 ] && [ -z \"$(cat)\" ] && exit 42";
    let app = site.shell("app", script, "", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    assert_eq!(
        console.exit_of(&app),
        serde_json::json!({"exit": {"code": 42}})
    );
}

#[test]
fn output_that_nobody_reads_costs_no_threads() {
    const CONTAINERS: usize = 24;
    let site = Site::new();
    let script = "head -c 300000 /dev/zero";
    let containers: Vec<String> = (0..CONTAINERS)
        .map(|number| site.shell(&format!("app{number}"), script, "io: {stdout: inherit}", ""))
        .collect();
    let pipe = site.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let daemon = site.command();
    let mut command = Command::new("sh");
    // A pipe that is open for reading, by the daemon itself, and is never read.
    command
        .args(["-c", "exec \"$@\" 1<>\"$0\""])
        .arg(&pipe)
        .arg(daemon.get_program())
        .args(daemon.get_args());
    let daemon = site.daemon_by(command);
    let threads = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid()));
        tasks.unwrap().count()
    };
    let mut console = daemon.console();
    assert_eq!(console.start(&containers[0]), None);
    let before = threads();
    for container in &containers[1..] {
        assert_eq!(console.start(container), None);
    }
    let after = threads();
    assert!(
        after < before + CONTAINERS / 2,
        "{before} before, {after} after"
    );
}
