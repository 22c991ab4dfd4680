//! What a container's control group shall look like: plain data.

use super::devices::DeviceRule;
use std::collections::BTreeMap;

/// Limit on processes and threads of a container that does not name one.
///
/// High enough for any sane program, low enough that a fork bomb leaves the
/// host its process ids.
pub const DEFAULT_PIDS_MAX: u64 = 1024;

/// Limits of one container. Everything that is absent keeps the kernel's
/// default, except processes and devices; where the kernel can, the default of
/// processor time is one weight for the container as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CgroupPlan {
    /// Memory limits.
    pub memory: MemoryPlan,
    /// Processor time and placement.
    pub cpu: CpuPlan,
    /// Block device bandwidth.
    pub io: IoPlan,
    /// Most processes and threads at a time. `None` applies
    /// [`DEFAULT_PIDS_MAX`] where the kernel can.
    pub pids: Option<u64>,
    /// Devices that may be opened.
    pub devices: DevicesPlan,
    /// Whether processes may take realtime policies (sched(7)). A kernel with
    /// `CONFIG_RT_GROUP_SCHED` forbids that in a cpu group of version 1 that
    /// was given no realtime time: none is made there then, unless a limit
    /// needs it.
    pub realtime: bool,
}

/// Memory limits, in bytes; negative is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Usage the container cannot exceed (v1 `memory.limit_in_bytes`, v2
    /// `memory.max`).
    pub hard_limit: Option<i64>,
    /// Usage up to which the kernel spares the container from reclaim (v1
    /// `memory.soft_limit_in_bytes`, v2 `memory.low`).
    pub soft_limit: Option<i64>,
    /// Memory plus swap (v1 `memory.memsw.limit_in_bytes`; v2
    /// `memory.swap.max`, from which the hard limit is subtracted).
    pub swap_limit: Option<i64>,
    /// Readiness to swap, 0 to 100 (v1 only).
    pub swappiness: Option<u64>,
    /// Kernel memory (v1 only, and refused by kernels from 5.16).
    pub kernel_limit: Option<i64>,
    /// TCP buffers (v1 only).
    pub kernel_tcp_limit: Option<i64>,
    /// Whether running out of memory kills the container as a whole (v2 only).
    pub oom_group: Option<bool>,
    /// Further files (`memory.*`) and what to write to them.
    pub attributes: BTreeMap<String, String>,
}

/// Processor time and placement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuPlan {
    /// Relative weight, 2 to 262144, 1024 being the default of every group.
    /// On version 2 it becomes `cpu.weight` by [`cpu_weight`].
    pub shares: Option<u64>,
    /// Processor time per period, in microseconds; negative is unlimited.
    pub quota: Option<i64>,
    /// Length of the period, in microseconds.
    pub period: Option<u64>,
    /// Processors, as a list (`0-2,7`).
    pub cpus: Option<String>,
    /// Memory nodes, as a list.
    pub mems: Option<String>,
    /// Time for realtime tasks per realtime period, in microseconds (v1 only).
    pub realtime_runtime: Option<i64>,
    /// Length of the realtime period, in microseconds (v1 only).
    pub realtime_period: Option<u64>,
    /// Further files (`cpu.*`, `cpuset.*`) and what to write to them.
    pub attributes: BTreeMap<String, String>,
}

/// Block device bandwidth.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IoPlan {
    /// Relative weight, 10 to 1000. On version 2 it becomes `io.weight` by
    /// [`io_weight`].
    pub weight: Option<u16>,
    /// Weight against child groups (v1 with the CFQ scheduler only).
    pub leaf_weight: Option<u16>,
    /// Weights for single devices.
    pub device_weights: Vec<DeviceWeight>,
    /// Bytes per second read from a device.
    pub read_bps: Vec<Throttle>,
    /// Bytes per second written to a device.
    pub write_bps: Vec<Throttle>,
    /// Read operations per second on a device.
    pub read_iops: Vec<Throttle>,
    /// Write operations per second on a device.
    pub write_iops: Vec<Throttle>,
    /// Further files (`blkio.*`, `io.*`) and what to write to them.
    pub attributes: BTreeMap<String, String>,
}

/// Weight for one block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceWeight {
    /// Major number of the device.
    pub major: u64,
    /// Minor number of the device.
    pub minor: u64,
    /// As [`IoPlan::weight`].
    pub weight: Option<u16>,
    /// As [`IoPlan::leaf_weight`].
    pub leaf_weight: Option<u16>,
}

/// Limit for one block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttle {
    /// Major number of the device.
    pub major: u64,
    /// Minor number of the device.
    pub minor: u64,
    /// Bytes or operations per second.
    pub rate: u64,
}

/// Devices a container may open, besides the harmless ones every container
/// may ([`ALWAYS_ALLOWED`](super::devices::ALWAYS_ALLOWED)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DevicesPlan {
    /// Devices allowed; everything else is denied.
    pub rules: Vec<DeviceRule>,
    /// Whether a system that cannot restrict devices is an error. Otherwise
    /// the restriction is reported as off.
    pub required: bool,
}

/// `cpu.weight` of version 2 for `cpu.shares` of version 1.
#[must_use]
pub fn cpu_weight(shares: u64) -> u64 {
    let shares = shares.clamp(2, 262_144);
    1 + (shares - 2) * 9_999 / 262_142
}

/// `io.weight` of version 2 for `blkio.weight` of version 1.
#[must_use]
pub fn io_weight(weight: u16) -> u64 {
    let weight = u64::from(weight.clamp(10, 1_000));
    1 + (weight - 10) * 9_999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_scaled() {
        for (shares, weight) in [
            (2, 1),
            (1024, 39),
            (100, 4),
            (262_144, 10_000),
            (0, 1),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(cpu_weight(shares), weight, "{shares}");
        }
        for (blkio, io) in [
            (10, 1),
            (100, 910),
            (500, 4_950),
            (1_000, 10_000),
            (1, 1),
            (u16::MAX, 10_000),
        ] {
            assert_eq!(io_weight(blkio), io, "{blkio}");
        }
    }
}
