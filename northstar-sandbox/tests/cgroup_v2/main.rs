//! Limits of version 2, on a machine that has its controllers: the VM tier.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod limits;
mod refusals;
#[path = "../support/mod.rs"]
mod support;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use northstar_sandbox::cgroup::{
    CgroupError, CgroupPlan, CpuPlan, DevicesPlan, Hierarchy, IoPlan, MemoryPlan, Throttle,
    TopGroup, Version, create,
};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use support::both::*;
use support::*;

/// The hierarchy of a machine with all controllers on version 2.
fn v2() -> Hierarchy {
    let hierarchy = Hierarchy::detect().unwrap();
    assert_eq!(
        hierarchy.version(),
        Version::V2,
        "this test needs a machine with control groups of version 2 only"
    );
    assert_eq!(
        hierarchy.missing(),
        [],
        "this test needs these controllers on version 2, too"
    );
    hierarchy
}

fn root() -> PathBuf {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mountinfo
        .lines()
        .find(|line| line.contains(" - cgroup2 "))
        .unwrap();
    PathBuf::from(mount.split(' ').nth(4).unwrap())
}

/// A file of a test's group.
fn file(top: &TopGroup, name: &str) -> PathBuf {
    root().join(top.path()).join("container").join(name)
}

fn content(top: &TopGroup, name: &str) -> String {
    fs::read_to_string(file(top, name))
        .unwrap()
        .trim()
        .to_owned()
}
