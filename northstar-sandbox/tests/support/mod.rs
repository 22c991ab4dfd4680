//! What the tests of control groups share.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub mod both;

use northstar_sandbox::cgroup::{
    Cgroup, CgroupPlan, Hierarchy, REMOVAL_DEADLINE, TopGroup, create,
};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The lines of this process's mountinfo that `keep` wants.
pub fn hierarchy(keep: impl Fn(&str) -> bool) -> Hierarchy {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let lines: Vec<&str> = mountinfo.lines().filter(|line| keep(line)).collect();
    Hierarchy::from_mountinfo(&lines.join("\n")).unwrap()
}

/// A top-level group of one test.
pub fn top(hierarchy: &Hierarchy, name: &str) -> TopGroup {
    let path = format!("northstar-test-{}-{name}", std::process::id());
    TopGroup::create(hierarchy, Path::new(&path)).unwrap()
}

/// A group below the top-level group, with limits.
pub fn group(hierarchy: &Hierarchy, top: &TopGroup, plan: &CgroupPlan) -> Cgroup {
    create(hierarchy, &top.path().join("container"), plan).unwrap()
}

/// A shell that runs a script after it was put into a group.
pub struct Shell(Child);

impl Shell {
    /// Starts a shell that waits.
    pub fn new(script: &str) -> Shell {
        let script = format!("read go; {script}");
        let child = Command::new("/bin/sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Shell(child)
    }

    pub fn pid(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }

    /// Lets it run its script.
    pub fn go(&mut self) {
        self.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }

    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the shell has ended", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Shell {
    /// Does not wait for ever: one that a failed test left frozen dies only when it is thawed.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let killed = Instant::now();
        while let Ok(None) = self.0.try_wait() {
            if killed.elapsed() > REMOVAL_DEADLINE {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Runs a script to its end in a group.
pub fn run(group: &Cgroup, script: &str) -> ExitStatus {
    let mut shell = Shell::new(script);
    group.add(shell.pid()).unwrap();
    shell.go();
    shell.wait()
}

/// Waits until something holds, or fails after a while.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "not true in time: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Kills what is in the group and removes it, and then the top-level group.
pub fn end(group: Cgroup, top: TopGroup) {
    let started = Instant::now();
    group.kill().unwrap();
    group.destroy().unwrap();
    top.remove().unwrap();
    assert!(started.elapsed() < REMOVAL_DEADLINE);
}

/// Directories of this test that are left in any hierarchy.
pub fn left_over(top: &str) -> Vec<PathBuf> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mountinfo
        .lines()
        .filter(|line| line.contains(" - cgroup"))
        .filter_map(|line| line.split(' ').nth(4))
        .map(|mount| Path::new(mount).join(top))
        .filter(|path| path.exists())
        .collect()
}
