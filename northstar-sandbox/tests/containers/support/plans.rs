//! Plans and their parts.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use northstar_sandbox::mount;
use northstar_sandbox::plan::{
    CapabilitySet, DescriptorIndex, ExecPlan, MountFlags, MountKind, MountPlan,
};

/// User and group of payloads.
pub const UID: u32 = 12_345;
pub const GID: u32 = 12_346;

pub const READ_ONLY: MountFlags = MountFlags {
    read_only: true,
    nosuid: true,
    nodev: true,
    noexec: false,
    recursive: false,
};

pub const CLOSED: MountFlags = MountFlags {
    read_only: false,
    noexec: true,
    ..READ_ONLY
};

/// A plan that executes `argv`, output to descriptor 0 of the list.
pub fn program(argv: &[&str]) -> ExecPlan {
    ExecPlan {
        init: PathBuf::from(argv[0]),
        argv: argv.iter().map(|argument| (*argument).to_owned()).collect(),
        env: vec![("PATH".to_owned(), "/bin".to_owned())],
        uid: UID,
        gid: GID,
        groups: Vec::new(),
        capabilities: CapabilitySet::EMPTY,
        rlimits: Vec::new(),
        sched: None,
        seccomp: Vec::new(),
        selinux_exec: None,
        descriptors: vec![(DescriptorIndex(0), 1), (DescriptorIndex(0), 2)],
        cgroup_namespace: true,
    }
}

pub fn shell(script: &str) -> ExecPlan {
    program(&["/bin/sh", "-ec", script])
}

pub fn capabilities(names: &[&str]) -> CapabilitySet {
    CapabilitySet::from_names(names.iter().copied()).unwrap()
}

pub fn planned(target: &str, kind: MountKind, flags: MountFlags) -> MountPlan {
    MountPlan {
        target: target.into(),
        kind,
        flags,
    }
}

pub fn tmpfs() -> MountKind {
    MountKind::Tmpfs {
        size: 1 << 20,
        mode: 0o1777,
        uid: 0,
        gid: 0,
    }
}

pub fn clone(path: &Path, flags: MountFlags) -> OwnedFd {
    let source = File::open(path).unwrap();
    mount::clone_tree(source.as_fd(), flags).unwrap()
}
