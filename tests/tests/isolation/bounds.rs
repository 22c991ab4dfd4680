//! How much a container may use.

use std::fs;

use northstar_tests::{Package, Site};
use serde_json::json;

use crate::{run, run_on};

#[test]
fn rlimits_are_applied() {
    let package = Package::app("app", &["cat", "/proc/self/limits"])
        .field("rlimits: {nofile: {soft: 100, hard: 200}}");
    let output = run(&package);
    let words: Vec<&str> = output
        .iter()
        .find(|line| line.contains("Max open files"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert!(
        words.windows(2).any(|pair| pair == ["100", "200"]),
        "{words:?}"
    );
}

#[test]
fn image_is_read_only_and_tmpfs_is_limited() {
    let site = Site::new();
    site.pack(&Package::app("ro", &["write", "/file", "x"]));
    site.pack(
        &Package::app("tmp", &["write", "/tmp/file", "x"])
            .mount("/tmp", "{type: tmpfs, size: 4096}"),
    );
    let daemon = site.start();
    // EROFS is 30.
    assert_eq!(run_on(&daemon, "ro:0.0.1"), ["/file error 30"]);
    assert_eq!(run_on(&daemon, "tmp:0.0.1"), ["/tmp/file written"]);
    daemon.stop();
}

#[test]
fn a_line_without_end_costs_no_memory_and_stops_nobody() {
    let site = Site::new();
    site.pack(&Package::app("flood", &["long-line", "50000000"]));
    site.pack(&Package::app("other", &["print", "still here"]));
    let daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("flood:0.0.1");
    console.start_ok("other:0.0.1");
    daemon.expect_output("other:0.0.1", |line| line == "still here");
    while console.expect_exit("flood:0.0.1") != json!({"exit": {"code": 0}}) {}
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kibibytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(
        kibibytes < 56 * 1024,
        "50 MB of output made the daemon {kibibytes} KiB large"
    );
    daemon.stop();
}

#[test]
fn pids_are_limited_without_being_asked() {
    let site = Site::new();
    site.pack(&Package::app("bomb", &["fork-children", "5000"]));
    let daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("bomb:0.0.1");
    let line = daemon.expect_output("bomb:0.0.1", |line| line.starts_with("children "));
    let children: u32 = line.trim_start_matches("children ").parse().unwrap();
    assert!(children < 5000, "{children} children");
    console.kill("bomb:0.0.1", 9);
    assert_eq!(
        console.expect_exit("bomb:0.0.1"),
        json!({"signalled": {"signal": 9}})
    );
    daemon.stop();
}
