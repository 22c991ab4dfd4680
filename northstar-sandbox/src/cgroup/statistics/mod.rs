//! What a container uses.
//!
//! Names and units are those of version 2 (kernel documentation,
//! `cgroup-v2.rst`); the numbers of version 1 are converted. A number this
//! kernel does not have is absent.

mod v1;
mod v2;

use super::{Cgroup, CgroupError, Controller, file};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Usage of a group and everything below it. A part is absent if its
/// controller is not available.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Memory.
    pub memory: Option<MemoryStatistics>,
    /// Processor time.
    pub cpu: Option<CpuStatistics>,
    /// Block devices, by `major:minor`.
    pub io: Option<BTreeMap<String, IoStatistics>>,
    /// Processes.
    pub pids: Option<PidsStatistics>,
}

/// Memory, in bytes unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MemoryStatistics {
    /// Used now (`memory.current`, v1 `memory.usage_in_bytes`).
    pub current: u64,
    /// Most ever used (`memory.peak`, v1 `memory.max_usage_in_bytes`).
    pub peak: Option<u64>,
    /// Hard limit; absent if unlimited (`memory.max`, v1 `memory.limit_in_bytes`).
    pub max: Option<u64>,
    /// Swap used now (`memory.swap.current`, v1 `total_swap`).
    pub swap_current: Option<u64>,
    /// Anonymous memory (`anon`, v1 `total_rss`).
    pub anon: Option<u64>,
    /// Page cache (`file`, v1 `total_cache`).
    pub file: Option<u64>,
    /// Memory of the kernel (`kernel`, v1 `memory.kmem.usage_in_bytes`).
    pub kernel: Option<u64>,
    /// Shared memory and tmpfs (`shmem`, v1 `total_shmem`).
    pub shmem: Option<u64>,
    /// Number of page faults.
    pub pgfault: Option<u64>,
    /// Number of page faults that needed i/o.
    pub pgmajfault: Option<u64>,
}

/// Processor time, in microseconds unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CpuStatistics {
    /// Time used in total (v1 `cpuacct.usage`).
    pub usage_usec: u64,
    /// Time used in programs (v1 `cpuacct.usage_user`).
    pub user_usec: Option<u64>,
    /// Time used in the kernel (v1 `cpuacct.usage_sys`).
    pub system_usec: Option<u64>,
    /// Number of periods with a quota in force.
    pub nr_periods: Option<u64>,
    /// Number of periods in which the quota was used up.
    pub nr_throttled: Option<u64>,
    /// Time spent waiting for the next period.
    pub throttled_usec: Option<u64>,
}

/// Traffic with one block device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct IoStatistics {
    /// Bytes read.
    pub rbytes: u64,
    /// Bytes written.
    pub wbytes: u64,
    /// Number of reads.
    pub rios: u64,
    /// Number of writes.
    pub wios: u64,
}

/// Processes and threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PidsStatistics {
    /// Number now.
    pub current: u64,
    /// Limit; absent if unlimited.
    pub max: Option<u64>,
}

/// Reads what there is about a group.
pub(super) fn read(group: &Cgroup) -> Result<Statistics, CgroupError> {
    // A controller is either on version 1 or on version 2.
    let on_v1 = |controller| group.v1.get(&controller).map(|path| path.as_path());
    let on_v2 = |controller| {
        group
            .unified
            .as_deref()
            .filter(|_| group.controllers.contains(&controller))
    };
    Ok(Statistics {
        memory: pick(
            on_v1(Controller::Memory),
            v1::memory,
            on_v2(Controller::Memory),
            v2::memory,
        )?,
        cpu: match on_v1(Controller::Cpuacct) {
            Some(directory) => Some(v1::cpu(directory, on_v1(Controller::Cpu))?),
            None => on_v2(Controller::Cpu).map(v2::cpu).transpose()?,
        },
        io: pick(on_v1(Controller::Io), v1::io, on_v2(Controller::Io), v2::io)?,
        pids: pick(on_v1(Controller::Pids), pids, on_v2(Controller::Pids), pids)?,
    })
}

type Reader<T> = fn(&Path) -> Result<T, CgroupError>;

fn pick<T>(
    v1: Option<&Path>,
    read_v1: Reader<T>,
    v2: Option<&Path>,
    read_v2: Reader<T>,
) -> Result<Option<T>, CgroupError> {
    match (v1, v2) {
        (Some(directory), _) => read_v1(directory).map(Some),
        (None, Some(directory)) => read_v2(directory).map(Some),
        (None, None) => Ok(None),
    }
}

/// A number from a file that not every kernel has.
fn optional(directory: &Path, name: &str) -> Result<Option<u64>, CgroupError> {
    if file::exists(directory, name) {
        file::read_number(directory, name)
    } else {
        Ok(None)
    }
}

fn pids(directory: &Path) -> Result<PidsStatistics, CgroupError> {
    Ok(PidsStatistics {
        current: file::read_number(directory, "pids.current")?.unwrap_or(0),
        max: file::read_number(directory, "pids.max")?,
    })
}
