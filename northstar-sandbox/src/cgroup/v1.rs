//! Limits on version 1: one directory per controller.

use super::limits::{attributes, names_some, same_list};
use super::plan::{CgroupPlan, CpuPlan, DEFAULT_PIDS_MAX, MemoryPlan};
use super::{CgroupError, Controller, devices, file, realtime, v1_io};
use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::cpuset::CpuSetController;
use cgroups_rs::fs::error::Result as SetResult;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Applies a plan to the directories of a fresh group. `roots` are the mount
/// points of the same controllers.
pub(super) fn apply(
    group: &BTreeMap<Controller, PathBuf>,
    roots: &BTreeMap<Controller, PathBuf>,
    plan: &CgroupPlan,
) -> Result<(), CgroupError> {
    if let Some(directory) = group.get(&Controller::Memory) {
        memory(directory, &plan.memory)?;
    }
    if let Some(directory) = group.get(&Controller::Cpuset) {
        cpuset(directory, &plan.cpu)?;
    }
    if let (Some(directory), Some(root)) =
        (group.get(&Controller::Cpu), roots.get(&Controller::Cpu))
    {
        cpu(directory, root, &plan.cpu)?;
    }
    if let Some(directory) = group.get(&Controller::Io) {
        v1_io::apply(directory, &plan.io)?;
    }
    if let Some(directory) = group.get(&Controller::Pids) {
        pids(directory, plan.pids.unwrap_or(DEFAULT_PIDS_MAX))?;
    }
    if let Some(directory) = group.get(&Controller::Devices) {
        devices::apply_v1(directory, &plan.devices.rules)?;
    }
    Ok(())
}

/// One setter of the cgroups crate with the file it writes.
type MemorySetter = fn(&MemController, i64) -> SetResult<()>;

fn memory(directory: &Path, plan: &MemoryPlan) -> Result<(), CgroupError> {
    let controller = MemController::new(directory.to_owned(), directory.to_owned(), false);
    // The hard limit first: memory plus swap may not be below it.
    let limits: [(&str, Option<i64>, MemorySetter); 4] = [
        (
            "memory.limit_in_bytes",
            plan.hard_limit,
            MemController::set_limit,
        ),
        (
            "memory.memsw.limit_in_bytes",
            plan.swap_limit,
            MemController::set_memswap_limit,
        ),
        (
            "memory.soft_limit_in_bytes",
            plan.soft_limit,
            MemController::set_soft_limit,
        ),
        (
            "memory.kmem.tcp.limit_in_bytes",
            plan.kernel_tcp_limit,
            MemController::set_tcp_limit,
        ),
    ];
    for (name, limit, setter) in limits {
        // Every negative value means unlimited; the kernel takes -1 alone.
        let Some(limit) = limit.map(|limit| limit.max(-1)) else {
            continue;
        };
        file::set_bytes(directory, name, limit, |limit| setter(&controller, limit))?;
    }
    if let Some(limit) = plan.kernel_limit.map(|limit| limit.max(-1)) {
        // Directly, as the crate takes the kernel's "not supported" for success.
        let name = "memory.kmem.limit_in_bytes";
        file::write_and_verify(directory, name, &limit.to_string(), file::is_bytes(limit))?;
    }
    if let Some(swappiness) = plan.swappiness {
        let set = |swappiness| controller.set_swappiness(swappiness);
        file::set_number(directory, "memory.swappiness", swappiness, set)?;
    }
    if plan.oom_group == Some(true) {
        return Err(CgroupError::Missing {
            file: directory.join("memory.oom.group"),
            value: "1".to_owned(),
        });
    }
    attributes(directory, &["memory."], &plan.attributes)
}

fn cpu(directory: &Path, root: &Path, plan: &CpuPlan) -> Result<(), CgroupError> {
    let controller = CpuController::new(directory.to_owned(), directory.to_owned(), false);
    if let Some(shares) = plan.shares {
        let set = |shares| controller.set_shares(shares);
        file::set_number(directory, "cpu.shares", shares, set)?;
    }
    if let Some(period) = plan.period {
        let set = |period| controller.set_cfs_period(period);
        file::set_number(directory, "cpu.cfs_period_us", period, set)?;
    }
    if let Some(quota) = plan.quota {
        // Every negative value means unlimited; the kernel shows -1.
        let quota = quota.max(-1);
        let set = |quota| controller.set_cfs_quota(quota);
        file::set_number(directory, "cpu.cfs_quota_us", quota, set)?;
    }
    if let Some(period) = plan.realtime_period {
        let set = |period| controller.set_rt_period_us(period);
        file::set_number(directory, "cpu.rt_period_us", period, set)?;
    }
    if let Some(runtime) = plan.realtime_runtime {
        realtime::make_room(root, directory, runtime)?;
        let set = |runtime| controller.set_rt_runtime(runtime);
        file::set_number(directory, "cpu.rt_runtime_us", runtime, set)?;
    }
    attributes(
        directory,
        &["cpu."],
        &select(&plan.attributes, |name| !name.starts_with("cpuset.")),
    )
}

fn cpuset(directory: &Path, plan: &CpuPlan) -> Result<(), CgroupError> {
    let controller = CpuSetController::new(directory.to_owned(), directory.to_owned(), false);
    names_some("cpus", plan.cpus.as_deref())?;
    names_some("mems", plan.mems.as_deref())?;
    if let Some(cpus) = &plan.cpus {
        let set = || controller.set_cpus(cpus);
        file::set(directory, "cpuset.cpus", cpus, set, |found| {
            same_list(cpus, found)
        })?;
    }
    if let Some(mems) = &plan.mems {
        let set = || controller.set_mems(mems);
        file::set(directory, "cpuset.mems", mems, set, |found| {
            same_list(mems, found)
        })?;
    }
    attributes(
        directory,
        &["cpuset."],
        &select(&plan.attributes, |name| name.starts_with("cpuset.")),
    )
}

pub(super) fn select(
    map: &BTreeMap<String, String>,
    keep: impl Fn(&str) -> bool,
) -> BTreeMap<String, String> {
    map.iter()
        .filter(|(name, _)| keep(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A new cpuset group has no processors and takes no process until it has: it
/// starts with those of its parent.
pub(super) fn inherit_cpuset(directory: &Path) -> Result<(), CgroupError> {
    let Some(parent) = directory.parent() else {
        return Ok(());
    };
    for name in ["cpuset.cpus", "cpuset.mems"] {
        if file::read(directory, name)?.trim().is_empty() {
            let inherited = file::read(parent, name)?;
            let inherited = inherited.trim();
            file::write_and_verify(directory, name, inherited, |found| {
                same_list(inherited, found)
            })?;
        }
    }
    Ok(())
}

/// Limits the number of processes; the same file on both versions.
pub(super) fn pids(directory: &Path, max: u64) -> Result<(), CgroupError> {
    let Ok(limit) = i64::try_from(max) else {
        return Err(CgroupError::Limit {
            limit: "pids.max",
            value: max.to_string(),
            reason: "too large",
        });
    };
    let controller = PidController::new(directory.to_owned(), directory.to_owned(), false);
    let set = |limit| controller.set_pid_max(MaxValue::Value(limit));
    file::set_number(directory, "pids.max", limit, set)
}
