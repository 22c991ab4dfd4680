//! Control groups of version 1, on a machine that has them; needs root.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod limits;
mod lives;
mod owners;
mod refusals;
#[path = "../support/mod.rs"]
mod support;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use northstar_sandbox::cgroup::devices::{Access, DeviceKind, DeviceRule};
use northstar_sandbox::cgroup::{
    CgroupError, CgroupPlan, Controller, CpuPlan, DevicesPlan, Hierarchy, IoPlan, MemoryPlan,
    Throttle, TopGroup, Version, create, remove_tree,
};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::both::*;
use support::*;

/// Version 1 only, also on a hybrid.
fn v1() -> Hierarchy {
    let hierarchy = support::hierarchy(|line| !line.contains(" - cgroup2 "));
    assert_eq!(
        hierarchy.version(),
        Version::V1,
        "this test needs control groups of version 1"
    );
    hierarchy
}

/// Version 1 with the tree of version 2 beside it.
fn hybrid() -> Hierarchy {
    let hierarchy = Hierarchy::detect().unwrap();
    assert_eq!(
        hierarchy.version(),
        Version::Hybrid,
        "this test needs a hybrid of version 1 and 2"
    );
    hierarchy
}

/// A file of a test's group.
fn file(controller: &str, top: &TopGroup, name: &str) -> PathBuf {
    Path::new("/sys/fs/cgroup")
        .join(controller)
        .join(top.path())
        .join("container")
        .join(name)
}

fn content(controller: &str, top: &TopGroup, name: &str) -> String {
    fs::read_to_string(file(controller, top, name))
        .unwrap()
        .trim()
        .to_owned()
}
