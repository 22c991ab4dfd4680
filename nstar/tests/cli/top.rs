//! The live view, on a terminal and without one.

use std::process::{Command, Output};

use nix::sys::signal::Signal;

use crate::{console::Console, daemon::stdout, terminal::Terminal};

fn top(console: &Console, words: &[&str]) -> Terminal {
    let url = console.url();
    let words = [&["--url", &url, "top", "--delay", "50ms"], words].concat();
    Terminal::run(24, 100, &words)
}

fn piped(console: &Console, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nstar"))
        .args(["--url", &console.url()])
        .args(words)
        .output()
        .unwrap()
}

#[test]
fn it_shows_what_containers_use_and_gives_the_terminal_back() {
    let console = Console::new(true);
    let mut terminal = top(&console, &[]);
    terminal.expect("the row of app", |lines| {
        lines.iter().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            matches!(words.as_slice(),
                ["app:1.0.0", "running", cpu, "5.0MiB", "9.0MiB", "7", "2", "1h01m"]
                    if cpu.parse::<f64>().is_ok_and(|cpu| cpu > 0.0))
        })
    });
    terminal.expect_text("2 containers, 1 running");
    assert!(terminal.is_taken());
    terminal.press("q");
    assert!(terminal.wait().success());
    // It goes on asking while it is shown.
    assert!(console.samples() > 1);
}

#[test]
fn keys_order_the_rows() {
    let console = Console::new(true);
    let mut terminal = top(&console, &["--sort", "name"]);
    let first = |name: &'static str| {
        move |lines: &[String]| lines.get(2).is_some_and(|line| line.starts_with(name))
    };
    terminal.expect("app first", first("app"));
    terminal.press("n");
    terminal.expect("tool first", first("tool"));
    terminal.press("m");
    terminal.expect("app first", first("app"));
    terminal.press("\x03");
    assert!(terminal.wait().success());
}

#[test]
fn stopping_and_killing_asks_first() {
    let console = Console::new(true);
    let mut terminal = top(&console, &["--sort", "name"]);
    terminal.expect_text("app:1.0.0");
    terminal.press("k");
    terminal.expect_text("choose a container");
    terminal.press("\x1b[B");
    terminal.press("k");
    terminal.expect_text("send signal 9 (SIGKILL) to app:1.0.0? y/n");
    terminal.press("n");
    terminal.expect_text("q quit");
    assert!(console.signals().is_empty());
    terminal.press("s");
    terminal.expect_text("send signal 15 (SIGTERM) to app:1.0.0? y/n");
    terminal.press("y");
    terminal.expect_text("sent signal 15 (SIGTERM) to app:1.0.0");
    assert_eq!(console.signals(), [15]);
    terminal.press("q");
    assert!(terminal.wait().success());

    let mut terminal = top(&console, &["--sort", "name", "--yes"]);
    terminal.expect_text("app:1.0.0");
    terminal.press("\x1b[B");
    terminal.press("k");
    terminal.expect_text("sent signal 9 (SIGKILL) to app:1.0.0");
    assert_eq!(console.signals(), [15, 9]);
    terminal.press("q");
    assert!(terminal.wait().success());
}

#[test]
fn signals_and_the_time_end_it_with_the_terminal_in_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let console = Console::new(true);
        let mut terminal = top(&console, &[]);
        terminal.expect_text("app:1.0.0");
        assert!(terminal.is_taken());
        terminal.signal(signal);
        assert!(terminal.wait().success(), "{signal}");
    }
    let console = Console::new(true);
    let mut terminal = top(&console, &["--timeout", "500ms"]);
    terminal.expect_text("app:1.0.0");
    assert!(terminal.wait().success());
    let mut terminal = top(&console, &["--number", "3"]);
    assert!(terminal.wait().success());
}

#[test]
fn a_small_terminal_shows_what_matters() {
    let console = Console::new(true);
    let url = console.url();
    let mut terminal = Terminal::run(6, 40, &["--url", &url, "top"]);
    terminal.expect("a row that fits", |lines| {
        lines
            .iter()
            .any(|line| line.contains("app:1.0.0") && line.contains("5.0MiB"))
    });
    terminal.press("q");
    assert!(terminal.wait().success());
}

#[test]
fn a_daemon_that_ends_ends_the_view() {
    // It takes the connection and one request, and closes.
    let daemon = crate::daemon::Daemon::new(vec![]);
    let url = format!("unix://{}/console", daemon.dir.path().display());
    let mut terminal = Terminal::run(24, 80, &["--url", &url, "top"]);
    assert_eq!(terminal.wait().code(), Some(3));
    terminal.expect_text("nstar: ");
    daemon.end();
}

#[test]
fn without_a_terminal_it_is_a_table() {
    let console = Console::new(true);
    let output = piped(&console, &["top", "--delay", "10ms"]);
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<Vec<&str>> = stdout(&output)
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let header = [
        "CONTAINER",
        "STATE",
        "CPU%",
        "MEMORY",
        "PEAK",
        "PIDS",
        "RESTARTS",
        "UPTIME",
    ];
    assert_eq!(lines[0], header);
    assert_eq!(lines[1][..2], ["app:1.0.0", "running"]);
    assert_eq!(
        lines[2],
        ["tool:2.0.0", "installed", "-", "-", "-", "-", "0", "-"]
    );
    assert_eq!(lines.len(), 3);

    let several = piped(&console, &["top", "-d", "10ms", "-n", "3", "app"]);
    assert_eq!(stdout(&several).matches("app:1.0.0").count(), 3);
    assert_eq!(stdout(&several).matches("tool").count(), 0);
}

#[test]
fn a_daemon_of_0_9_2_is_asked_one_by_one() {
    let console = Console::new(false);
    let output = piped(&console, &["top", "--delay", "10ms"]);
    let row = stdout(&output).lines().nth(1).unwrap();
    let words: Vec<&str> = row.split_whitespace().collect();
    // It does not count starts.
    assert!(
        matches!(
            words.as_slice(),
            [
                "app:1.0.0",
                "running",
                _,
                "5.0MiB",
                "9.0MiB",
                "7",
                "-",
                "1h01m"
            ]
        ),
        "{row}"
    );
}

#[test]
fn json_is_the_answers_of_the_daemon() {
    let console = Console::new(true);
    let output = piped(&console, &["-j", "top", "--delay", "10ms"]);
    let lines: Vec<serde_json::Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        lines[1]["response"]["statistics"][0]["container"],
        "app:1.0.0"
    );
}

#[test]
fn tables_fit_a_narrow_terminal() {
    let console = Console::new(true);
    let url = console.url();
    let mut terminal = Terminal::run(24, 40, &["--url", &url, "list"]);
    assert!(terminal.wait().success());
    terminal.expect_text("runni");
    // A line that is longer than the terminal would go on in the next row without the name of a column.
    let lines = terminal.lines();
    assert!(lines[0].starts_with("NAME"), "{lines:?}");
    let wide = Command::new(env!("CARGO_BIN_EXE_nstar"))
        .args(["--url", &url, "list"])
        .output()
        .unwrap();
    assert!(stdout(&wide).lines().next().unwrap().len() > 40);
}
