//! What a container is to become: plain data, checked by the one who made it, with nothing left
//! to look up. Files and sockets are descriptors, passed beside the plan and named by index.
//!
//! Two halves for the two phases of a start: [`ArmPlan`] builds the world, [`ExecPlan`] the
//! process in it.

mod capabilities;
mod mounts;
mod process;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use capabilities::{CapabilitySet, UnknownCapability};
pub use mounts::{MASKED_PROC, MASKED_SYS, MountFlags, MountKind, MountPlan};
pub use process::{
    Rlimit, RlimitKind, SYSCALLS_AFTER_FILTER, SYSCALLS_BETWEEN_FILTERS, Sched, SockFilter,
    UnknownRlimit,
};

/// Most descriptors that can travel with one plan.
pub const MAX_DESCRIPTORS: usize = 250;

/// Largest encoded plan in bytes. An environment of 64 values and a few full-size seccomp
/// programs stay well below.
pub const MAX_PLAN: usize = 1024 * 1024;

/// Position of a descriptor in the list that travels with a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DescriptorIndex(pub u16);

/// The network namespace of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkPlan {
    /// A new one with nothing in it but a loopback device that is down.
    Private,
    /// The daemon's.
    Host,
    /// An existing one: a descriptor of a network namespace, as `/run/netns/NAME` gives it.
    Join(DescriptorIndex),
}

/// User and group ids 0 to `count` - 1 of a user namespace, which are `first` and on outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// What id 0 is outside.
    pub first: u32,
    /// How many there are. Others do not exist inside.
    pub count: u32,
}

impl IdRange {
    /// What `id` is outside; `None` if there is no such id inside.
    pub fn outside(self, id: u32) -> Option<u32> {
        let outside = (id < self.count).then(|| self.first.checked_add(id))?;
        // The last number is no id but means "unchanged".
        outside.filter(|id| *id != u32::MAX)
    }
}

/// Phase one: namespaces, mounts, root. Independent of what will run there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmPlan {
    /// Host name in the container's uts namespace; `None` keeps a copy of the host's.
    pub hostname: Option<String>,
    /// A user namespace for the payload. What is attached has ids of inside then (id-mapped mounts); `None` is the
    /// daemon's.
    pub user: Option<IdRange>,
    /// Network namespace.
    pub network: NetworkPlan,
    /// Detached mount that becomes the root.
    pub root: DescriptorIndex,
    /// Flags of the root mount.
    pub root_flags: MountFlags,
    /// Everything below the root. Init mounts parents first, whatever the order here.
    pub mounts: Vec<MountPlan>,
}

/// Phase two: the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecPlan {
    /// Path of the program inside the container.
    pub init: PathBuf,
    /// Arguments including argument zero.
    pub argv: Vec<String>,
    /// The whole environment, name and value.
    pub env: Vec<(String, String)>,
    /// Real, effective and saved user id, that of inside in a user namespace; never 0.
    pub uid: u32,
    /// Real, effective and saved group id; never 0.
    pub gid: u32,
    /// The supplementary groups, and no others.
    pub groups: Vec<u32>,
    /// The exact bounding, permitted, effective, inheritable and ambient set.
    pub capabilities: CapabilitySet,
    /// Resource limits; those not named stay as the daemon has them.
    pub rlimits: Vec<Rlimit>,
    /// Scheduling policy; `None` is `SCHED_OTHER` with nice 0, whatever the daemon has.
    pub sched: Option<Sched>,
    /// Programs for seccomp(2), stacked: the last one is installed last.
    pub seccomp: Vec<Vec<SockFilter>>,
    /// SELinux context of the program.
    pub selinux_exec: Option<String>,
    /// Descriptors of the program and the numbers it finds them at. 0, 1 and 2 are `/dev/null`
    /// unless listed.
    pub descriptors: Vec<(DescriptorIndex, u32)>,
    /// Whether the program gets a new cgroup namespace with its own cgroup as the root.
    pub cgroup_namespace: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_beyond_the_range_are_none_outside() {
        let range = |first, count| IdRange { first, count };
        assert_eq!(range(1000, 10).outside(0), Some(1000));
        assert_eq!(range(1000, 10).outside(9), Some(1009));
        assert_eq!(range(1000, 10).outside(10), None);
        assert_eq!(range(u32::MAX - 1, 10).outside(0), Some(u32::MAX - 1));
        assert_eq!(range(u32::MAX - 1, 10).outside(1), None);
        assert_eq!(range(u32::MAX - 1, 10).outside(2), None);
    }
}
