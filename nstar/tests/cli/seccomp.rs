//! Filters out of real recordings.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::daemon::stdout;

fn nstar(words: &[&str], recordings: &[PathBuf]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nstar"))
        .arg("seccomp")
        .args(words)
        .args(recordings)
        .output()
        .unwrap()
}

fn learn(words: &[&str], recordings: &[PathBuf]) -> String {
    let output = nstar(words, recordings);
    assert!(output.status.success(), "{output:?}");
    stdout(&output).to_owned()
}

/// The names of the calls in a learned list.
fn calls(yaml: &str) -> BTreeSet<String> {
    yaml.lines()
        .filter_map(|line| line.strip_prefix("    ")?.split_once(':'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Records programs that make processes and pipes, and returns the recordings.
fn record(directory: &Path, options: &[&str]) -> Vec<PathBuf> {
    let status = Command::new("strace")
        .args(options)
        .arg("-o")
        .arg(directory.join("run.strace"))
        .args(["sh", "-c", "ls / | wc -l; exec cat /etc/passwd"])
        .output()
        .expect("strace runs")
        .status;
    assert!(status.success(), "{options:?}");
    let mut recordings: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    recordings.sort();
    recordings
}

#[test]
fn every_way_to_record_gives_the_same_list() {
    let ways: [&[&str]; 6] = [
        &["-f"],
        &["-ff"],
        &["-f", "-y", "-t"],
        &["-f", "-yy", "-r", "-T"],
        &["-f", "-ttt", "-X", "verbose"],
        &["-f", "-i", "-n", "-v", "-s", "1000"],
    ];
    // Which calls are made depends on timing in the shell: what a signal or a wait needs.
    let by_chance = ["rt_sigreturn", "wait4", "restart_syscall"].map(str::to_owned);
    let lists = ways.map(|options| {
        let directory = tempfile::tempdir().unwrap();
        let recordings = record(directory.path(), options);
        let mut calls = calls(&learn(&[], &recordings));
        assert!(calls.contains("execve") && calls.contains("pipe2") || calls.contains("pipe"));
        by_chance.iter().for_each(|call| {
            calls.remove(call);
        });
        // Ordinary programs need nothing that the profile lacks.
        let lacking = learn(&["--profile", "default"], &recordings);
        assert!(!lacking.contains("allow"), "{lacking}");
        assert!(
            lacking.ends_with("seccomp:\n  profile: default\n"),
            "{lacking}"
        );
        calls
    });
    for (list, options) in lists.iter().zip(ways) {
        assert_eq!(list, &lists[0], "{options:?}");
    }
}

#[test]
fn the_option_of_0_9_x_asks_for_a_list_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.strace");
    std::fs::write(&path, "getpid() = 1\n").unwrap();
    let learned = |words: &[&str]| {
        let output = nstar(words, std::slice::from_ref(&path));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        stdout(&output).to_owned()
    };
    let own = learned(&["--no-default-profile"]);
    assert!(own.contains("getpid") && !own.contains("profile:"), "{own}");
    assert_eq!(learned(&[]), own);
    let both = ["--no-default-profile", "--profile", "default"];
    let output = nstar(&both, std::slice::from_ref(&path));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn what_cannot_be_learned_from_says_where_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.strace");
    let fails = |text: &str, words: &[&str], expected: &str| {
        std::fs::write(&path, text).unwrap();
        let output = nstar(words, std::slice::from_ref(&path));
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stdout(&output).is_empty());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(expected), "{stderr}");
        let failure = stderr.lines().next().unwrap();
        let cause = failure.rsplit(": ").next().unwrap();
        assert_eq!(failure.matches(cause).count(), 1, "{stderr}");
    };
    fails(
        "getpid() = 1\ndance() = 0\n",
        &[],
        "a.strace:2: there is no system call `dance`",
    );
    fails("hello\n", &[], "hint: record with `strace -f -o");
    fails(
        "[ Process PID=7 runs in 32 bit mode. ]\n",
        &[],
        "a.strace:1: the 32-bit ABI",
    );
    fails(
        "getpid() = 1\n",
        &["--program", "/app"],
        "/app is not executed",
    );
    fails(
        "ioctl(1, DANCE) = 0\n",
        &["--args", "ioctl:1"],
        "strace -X verbose",
    );
    let absent = nstar(&[], &[directory.path().join("absent")]);
    assert_eq!(absent.status.code(), Some(1), "{absent:?}");
    for words in [
        &["--args", "dance:0"],
        &["--args", "socket:6"],
        &["--args", "socket"],
    ] {
        assert_eq!(
            nstar(words, std::slice::from_ref(&path)).status.code(),
            Some(2),
            "{words:?}"
        );
    }
}
