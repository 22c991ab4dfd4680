//! Mounts of a container.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::DescriptorIndex;

/// Entries of a procfs that tell about or act on the host, hidden where they exist.
pub const MASKED_PROC: &[&str] = &[
    // The shared libraries that init maps are files of the host, and who may trace init and has
    // CAP_CHECKPOINT_RESTORE could open them here, for writing, too.
    "1/map_files",
    "acpi",
    "asound",
    // When a key is pressed or a packet comes, for everybody on the machine to count.
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "sysrq-trigger",
    "timer_list",
    "timer_stats",
];

/// Entries of a sysfs that tell about or act on the host, hidden where they exist.
pub const MASKED_SYS: &[&str] = &[
    // How often and how long each processor was too hot: what others make it do, for everybody to
    // watch.
    "devices/system/cpu/*/thermal_throttle",
    "devices/virtual/powercap",
    "firmware",
];

/// Per-mount flags: what is asked for is what is in force, nothing more and nothing less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MountFlags {
    /// No write, whatever the file system allows.
    pub read_only: bool,
    /// Set-user-id and file capabilities have no effect.
    pub nosuid: bool,
    /// Device nodes cannot be opened.
    pub nodev: bool,
    /// Nothing can be executed.
    pub noexec: bool,
    /// The mount brings what is mounted below its source, under the same flags.
    pub recursive: bool,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPlan {
    /// Absolute path in the container. It must exist, unless it is inside a `Tmpfs` or `Dev` of
    /// the same plan, where it is created.
    pub target: PathBuf,
    /// What is mounted.
    pub kind: MountKind,
    /// With which flags.
    pub flags: MountFlags,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    /// A detached mount, made by [`crate::mount::clone_tree`].
    Attach(DescriptorIndex),
    /// A procfs of the container's pid namespace.
    Proc {
        /// Entries hidden behind something empty, relative to the procfs. One `*` in place of a
        /// name stands for all names there are.
        masked: Vec<PathBuf>,
    },
    /// A sysfs of the container's network namespace.
    Sysfs {
        /// Entries hidden behind something empty, relative to the sysfs, as those of a procfs.
        masked: Vec<PathBuf>,
    },
    /// A new, empty tmpfs.
    Tmpfs {
        /// Most bytes it can hold.
        size: u64,
        /// Permissions of its root directory, for example 0o1777.
        mode: u32,
        /// Owner of its root directory.
        uid: u32,
        /// Group of its root directory.
        gid: u32,
    },
    /// A new `/dev` with the devices that hold no data, terminals and shared memory.
    Dev,
}

impl MountKind {
    /// A procfs that hides [`MASKED_PROC`].
    pub fn proc() -> MountKind {
        MountKind::Proc {
            masked: MASKED_PROC.iter().map(PathBuf::from).collect(),
        }
    }

    /// A sysfs that hides [`MASKED_SYS`].
    pub fn sysfs() -> MountKind {
        MountKind::Sysfs {
            masked: MASKED_SYS.iter().map(PathBuf::from).collect(),
        }
    }

    /// Whether the mount is made of nothing but what init puts there.
    pub(crate) fn is_fresh(&self) -> bool {
        matches!(self, MountKind::Tmpfs { .. } | MountKind::Dev)
    }
}
