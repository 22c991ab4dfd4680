//! The tree of version 2 by itself, which also hybrids have; needs root. What
//! needs controllers there is in `cgroup_v2.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod support;

use northstar_sandbox::cgroup::devices::{Access, DeviceKind, DeviceRule};
use northstar_sandbox::cgroup::{
    CgroupError, CgroupPlan, Controller, DevicesPlan, Hierarchy, TopGroup, Version,
};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use support::{Shell, end, eventually, group, left_over, run, top};

/// Version 2 only, also on a hybrid.
fn unified() -> Hierarchy {
    let hierarchy = support::hierarchy(|line| line.contains(" - cgroup2 "));
    assert_eq!(
        hierarchy.version(),
        Version::V2,
        "this test needs the tree of version 2"
    );
    hierarchy
}

/// The directory of a test's group.
fn directory(top: &TopGroup) -> PathBuf {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mountinfo
        .lines()
        .find(|line| line.contains(" - cgroup2 "))
        .unwrap();
    PathBuf::from(mount.split(' ').nth(4).unwrap())
        .join(top.path())
        .join("container")
}

#[test]
fn all_processes_are_killed_at_once() {
    let hierarchy = unified();
    let top = top(&hierarchy, "kill");
    let group = group(&hierarchy, &top, &CgroupPlan::default());
    let mut shell = Shell::new("for i in 1 2 3 4 5; do sleep 1000 & done; wait");
    group.add(shell.pid()).unwrap();
    shell.go();
    eventually("the children run", || group.processes().unwrap().len() == 6);
    end(group, top);
    shell.wait();
}

#[test]
fn a_frozen_group_is_killed() {
    let hierarchy = unified();
    let top = top(&hierarchy, "freeze");
    let group = group(&hierarchy, &top, &CgroupPlan::default());
    let shell = Shell::new("");
    group.add(shell.pid()).unwrap();
    let directory = directory(&top);
    fs::write(directory.join("cgroup.freeze"), "1").unwrap();
    eventually("frozen", || {
        fs::read_to_string(directory.join("cgroup.events"))
            .unwrap()
            .contains("frozen 1")
    });
    end(group, top);
}

#[test]
fn a_group_with_processes_is_reported_in_time() {
    let hierarchy = unified();
    let top = top(&hierarchy, "busy");
    let busy = group(&hierarchy, &top, &CgroupPlan::default());
    let shell = Shell::new("");
    busy.add(shell.pid()).unwrap();
    match busy.destroy_within(Duration::from_millis(100)) {
        Err(CgroupError::Busy { pids, path, .. }) => {
            assert_eq!((pids, path), (vec![shell.pid()], directory(&top)));
        }
        other => panic!("{other:?}"),
    }
    top.clear().unwrap();
    let name = top.path().display().to_string();
    top.remove().unwrap();
    assert_eq!(left_over(&name), Vec::<PathBuf>::new());
}

#[test]
fn the_top_group_holds_no_processes() {
    let hierarchy = unified();
    let first = top(&hierarchy, "internal");
    let (name, path) = (first.path().to_owned(), directory(&first));
    let path = path.parent().unwrap();
    let shell = Shell::new("");
    fs::write(path.join("cgroup.procs"), shell.pid().to_string()).unwrap();
    // As after a daemon that was killed: the group stays, the lock does not.
    drop(first);
    match TopGroup::create(&hierarchy, &name) {
        Err(CgroupError::InUse { pids, .. }) => assert_eq!(pids, [shell.pid()]),
        other => panic!("{other:?}"),
    }
    drop(shell);
    TopGroup::create(&hierarchy, &name)
        .unwrap()
        .remove()
        .unwrap();
    assert!(!path.exists());
}

#[test]
fn devices_are_denied_unless_allowed() {
    let hierarchy = unified();
    let top = top(&hierarchy, "devices");
    let directory = tempfile::tempdir().unwrap();
    let node = directory.path().join("kmsg");
    let made = std::process::Command::new("mknod")
        .arg(&node)
        .args(["c", "1", "11"])
        .status()
        .unwrap();
    assert!(made.success());
    let node = node.display();
    let open = format!("exec 3<{node}");

    let denying = group(&hierarchy, &top, &CgroupPlan::default());
    assert!(
        !denying.off().contains(&Controller::Devices),
        "this test needs a kernel with CONFIG_CGROUP_BPF"
    );
    assert!(run(&denying, "exec 3<>/dev/null 4</dev/urandom").success());
    assert!(!run(&denying, &open).success());
    assert!(!run(&denying, &format!("mknod {node}2 c 1 3")).success());
    denying.destroy().unwrap();

    let read = Access {
        read: true,
        ..Access::default()
    };
    let rule = DeviceRule {
        kind: DeviceKind::Char,
        major: Some(1),
        minor: None,
        access: read,
    };
    let devices = DevicesPlan {
        rules: vec![rule],
        required: true,
    };
    let allowing = group(
        &hierarchy,
        &top,
        &CgroupPlan {
            devices,
            ..CgroupPlan::default()
        },
    );
    assert!(run(&allowing, &open).success());
    assert!(!run(&allowing, &format!("exec 3>{node}")).success());
    end(allowing, top);
}
