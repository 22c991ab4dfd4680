//! Harm to the daemon: its memory, its log, its end in the midst of starts.

use std::{collections::BTreeSet, fs, path::Path, thread, time::Duration};

use northstar_tests::{PATIENCE, Package, Residue, Site, in_virtual_machine};
use serde_json::json;

use crate::run;

/// 1 GiB without a single end of line: the daemon holds a buffer and a line, and other logs flow.
#[test]
fn gibibyte_without_newline_leaves_the_daemon_small() {
    // The emulated processor of the virtual machine would take many minutes for what the host does in seconds.
    let bytes: u64 = if in_virtual_machine() {
        1 << 24
    } else {
        1 << 30
    };
    let site = Site::new();
    site.pack(&Package::app("flood", &["long-line", &bytes.to_string()]));
    site.pack(&Package::app("other", &["print", "still here"]));
    let daemon = site.start();
    let peak = || {
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    // What the daemon takes for a container anyway.
    assert_eq!(run(&daemon, "other:0.0.1"), ["still here"]);
    let before = peak();
    // A busy machine takes its time for that much.
    let mut console = daemon.console().patient(5 * PATIENCE);
    console.start_ok("flood:0.0.1");
    let mut other = daemon.console();
    other.start_ok("other:0.0.1");
    assert_eq!(
        other.expect_exit("other:0.0.1"),
        json!({"exit": {"code": 0}})
    );
    assert_eq!(
        console.expect_exit("flood:0.0.1"),
        json!({"exit": {"code": 0}})
    );
    daemon.expect_output("flood:0.0.1", |line| line == "end of the long line");
    let grown = peak().saturating_sub(before);
    assert!(grown <= 8 * 1024, "the daemon grew by {grown} KiB");
    daemon.stop();
}

/// Whatever bytes a container prints, each line of the log begins with what the daemon says about it and has no control
/// characters.
#[test]
fn log_lines_cannot_be_forged() {
    const CORPUS: &[(&str, &str)] = &[
        ("escape sequence", "1b5b324a666f72676564"),
        ("title", "1b5d303b666f7267656407"),
        ("carriage return", "666f726765640d6f74686572"),
        ("backspace", "6162630808666f72676564"),
        ("nul", "00666f72676564"),
        ("delete", "7f666f72676564"),
        ("c1 control", "c29b324a666f72676564"),
        ("next line", "c285666f72676564"),
        ("line separator", "e280a8666f72676564"),
        ("right to left", "e280ae666f72676564"),
        ("no utf-8", "fffe80666f72676564"),
        ("overlong", "c08a666f72676564"),
        ("vertical tab", "0b0c666f72676564"),
        ("two lines", "666f726765640a666f72676564"),
    ];
    let site = Site::new();
    for (number, (_, bytes)) in CORPUS.iter().enumerate() {
        site.pack(&Package::app(
            &format!("writer-{number}"),
            &["bytes", bytes],
        ));
    }
    site.pack(&Package::app(
        "imitator",
        &[
            "print",
            "2026-01-01T00:00:00Z INFO other:0.0.1 stdout forged",
        ],
    ));
    let daemon = site.start();
    for number in 0..CORPUS.len() {
        run(&daemon, &format!("writer-{number}:0.0.1"));
    }
    run(&daemon, "imitator:0.0.1");
    let log = daemon.log();
    let mut found = 0;
    for line in log.lines().filter(|line| line.contains("forged")) {
        found += 1;
        let (head, _) = line.split_once("forged").unwrap();
        let is_tagged = head.contains("-")
            && (head.contains(" writer-") || head.contains(" imitator:0.0.1 stdout "));
        assert!(is_tagged, "{line:?}");
    }
    assert_eq!(found, CORPUS.len() + 2, "{log}");
    assert_eq!(controls(&log), BTreeSet::new());
    daemon.stop();
}

/// What a manifest names and the host does not have is in the error of the start, whatever characters it is made of.
#[test]
fn manifests_cannot_forge_log_lines() {
    const FORGED: &str = r"\r\nINFO other:0.0.1 stdout forged\x1b[2J\x85\u2028\u202e";
    let site = Site::new();
    let cases = [
        Package::app("group", &["wait"]).field(&format!("suppl_groups: [\"{FORGED}\"]")),
        Package::app("bind", &["wait"])
            .mount("/data", &format!("{{type: bind, host: \"/{FORGED}\"}}")),
    ];
    cases.iter().for_each(|package| drop(site.pack(package)));
    site.pack(&Package::app("last", &["print", "end"]));
    let daemon = site.start();
    for package in &cases {
        daemon.console().start_failure(&package.container());
    }
    // Its lines come behind what is in the log by then.
    run(&daemon, "last:0.0.1");
    let log = daemon.log();
    daemon.stop();
    let forged: Vec<&str> = log.lines().filter(|line| line.contains("forged")).collect();
    assert_eq!(forged.len(), cases.len(), "{log}");
    for (line, package) in forged.iter().zip(&cases) {
        let (head, _) = line.split_once("forged").unwrap();
        let start = format!(" start of {}: ", package.container());
        assert!(head.contains(&start), "{line:?}");
    }
    assert_eq!(controls(&log), BTreeSet::new());
}

/// The characters that could do something to a terminal or hide something.
fn controls(log: &str) -> BTreeSet<char> {
    let does = |c: &char| c.is_control() && *c != '\n' || matches!(c, '\u{2028}' | '\u{202e}');
    log.chars().filter(does).collect()
}

/// Processes in a control group and in those below it.
fn members(group: &Path) -> String {
    let below = fs::read_dir(group).into_iter().flatten().flatten();
    let below = below
        .filter(|entry| entry.path().is_dir())
        .map(|entry| members(&entry.path()));
    let own = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    below.fold(own, |all, more| all + &more)
}

/// The daemon is killed at many moments of starts: whoever was on the way is gone, and so are mounts and groups.
#[test]
fn daemon_killed_while_containers_start_leaves_nobody() {
    let site = Site::new();
    for name in ["a", "b", "c"] {
        site.pack(&Package::app(name, &["wait"]));
    }
    let moments = if in_virtual_machine() { 4 } else { 12 };
    for moment in 0..moments {
        let daemon = site.start();
        let consoles: Vec<_> = (0..3).map(|_| daemon.console()).collect();
        let mut waiting = Vec::new();
        for (mut console, name) in consoles.into_iter().zip(["a", "b", "c"]) {
            console.begin_start(&format!("{name}:0.0.1"));
            waiting.push(console);
        }
        // Not a synchronisation: any moment will do, and each round has another one.
        thread::sleep(Duration::from_millis(4 * moment));
        let tracked = daemon.kill();
        let residue = tracked.settle(Duration::from_secs(1));
        // Control groups without processes cost nothing; the next daemon removes them.
        for group in &residue.control_groups {
            assert_eq!(members(group), "", "after {} ms", 4 * moment);
        }
        let residue = Residue {
            control_groups: Vec::new(),
            ..residue
        };
        assert_eq!(residue, Residue::default(), "after {} ms", 4 * moment);
    }
    // The last one has a successor, too, which leaves nothing.
    site.start().stop();
}
