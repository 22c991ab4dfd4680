//! Limits on version 2: one directory, controllers enabled from the root down.

use super::lifecycle::own_processes;
use super::limits::{attributes, names_some, same_list};
use super::path::GroupPath;
use super::plan::{CgroupPlan, CpuPlan, DEFAULT_PIDS_MAX, MemoryPlan, cpu_weight};
use super::v1::{pids, select};
use super::{CgroupError, Controller, file, hierarchy, v2_io};
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::cpuset::CpuSetController;
use cgroups_rs::fs::memory::MemController;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;

/// Controllers every container gets where they exist, because its statistics
/// or a default need them.
const ALWAYS: [Controller; 4] = [
    Controller::Cpu,
    Controller::Memory,
    Controller::Io,
    Controller::Pids,
];

/// Enables controllers from the root of the hierarchy to the parent of a
/// group. One that is `needed` and cannot be enabled is an error; another one
/// stays off.
///
/// The groups on the way must hold no processes themselves (the root apart):
/// the kernel would answer `EBUSY`, or turn the group into a threaded one whose
/// children take no processes.
pub(super) fn enable(
    root: &Path,
    path: &GroupPath,
    needed: &BTreeSet<Controller>,
) -> Result<(), CgroupError> {
    for directory in std::iter::once(root.to_owned())
        .chain(path.parents().into_iter().map(|path| root.join(path)))
    {
        let available = hierarchy::controllers(&file::read(&directory, "cgroup.controllers")?);
        let enabled = hierarchy::controllers(&file::read(&directory, "cgroup.subtree_control")?);
        for controller in needed.iter().chain(&ALWAYS) {
            let required = needed.contains(controller);
            if enabled.contains(controller) || !required && !available.contains(controller) {
                continue;
            }
            let pids = if directory == root {
                Vec::new()
            } else {
                own_processes(&directory)?
            };
            if !pids.is_empty() {
                return Err(CgroupError::InUse {
                    path: directory,
                    pids,
                });
            }
            let result = file::write_and_verify(
                &directory,
                "cgroup.subtree_control",
                &format!("+{controller}"),
                |found| hierarchy::controllers(found).contains(controller),
            );
            if required {
                result?;
            }
        }
    }
    Ok(())
}

/// Applies a plan but for its devices to a fresh group with the controllers it has.
pub(super) fn apply(
    directory: &Path,
    controllers: &BTreeSet<Controller>,
    plan: &CgroupPlan,
) -> Result<(), CgroupError> {
    if controllers.contains(&Controller::Memory) {
        memory(directory, &plan.memory)?;
    }
    if controllers.contains(&Controller::Cpuset) {
        cpuset(directory, &plan.cpu)?;
    }
    if controllers.contains(&Controller::Cpu) {
        cpu(directory, &plan.cpu)?;
    }
    if controllers.contains(&Controller::Io) {
        v2_io::apply(directory, &plan.io)?;
    }
    if controllers.contains(&Controller::Pids) {
        pids(directory, plan.pids.unwrap_or(DEFAULT_PIDS_MAX))?;
    }
    Ok(())
}

fn memory(directory: &Path, plan: &MemoryPlan) -> Result<(), CgroupError> {
    let controller = MemController::new(directory.to_owned(), directory.to_owned(), true);
    if let Some(limit) = plan.hard_limit {
        let limit = limit.max(-1);
        let set = |limit| controller.set_limit(limit);
        file::set_bytes(directory, "memory.max", limit, set)?;
    }
    if let Some(limit) = swap(plan)? {
        let set = |limit| controller.set_memswap_limit(limit);
        file::set_bytes(directory, "memory.swap.max", limit, set)?;
    }
    if let Some(limit) = plan.soft_limit {
        // Directly, as the crate writes -1 where the kernel wants "max".
        let value = if limit < 0 {
            "max".to_owned()
        } else {
            limit.to_string()
        };
        file::write_and_verify(directory, "memory.low", &value, file::is_bytes(limit))?;
    }
    absent(directory, "memory.swappiness", plan.swappiness)?;
    absent(directory, "memory.kmem.limit_in_bytes", plan.kernel_limit)?;
    absent(
        directory,
        "memory.kmem.tcp.limit_in_bytes",
        plan.kernel_tcp_limit,
    )?;
    if let Some(group) = plan.oom_group {
        let value = u8::from(group);
        file::write_and_verify(
            directory,
            "memory.oom.group",
            &value.to_string(),
            file::is_number(value),
        )?;
    }
    attributes(directory, &["memory."], &plan.attributes)
}

/// Version 2 has no such file: the write names the one that is missing.
fn absent(directory: &Path, name: &str, value: Option<impl Display>) -> Result<(), CgroupError> {
    let Some(value) = value.map(|value| value.to_string()) else {
        return Ok(());
    };
    file::write_and_verify(directory, name, &value, file::has_line(value.clone()))
}

/// The limit on swap alone, from the one on memory plus swap.
fn swap(plan: &MemoryPlan) -> Result<Option<i64>, CgroupError> {
    let refuse = |value: i64, reason| {
        Err(CgroupError::Limit {
            limit: "memory_swap_limit",
            value: value.to_string(),
            reason,
        })
    };
    match (plan.swap_limit, plan.hard_limit) {
        (None, _) => Ok(None),
        (Some(total), _) if total < 0 => Ok(Some(-1)),
        (Some(total), Some(hard)) if (0..=total).contains(&hard) => Ok(Some(total - hard)),
        (Some(total), Some(_)) => refuse(total, "below memory_hard_limit"),
        (Some(total), None) => refuse(total, "requires memory_hard_limit"),
    }
}

fn cpu(directory: &Path, plan: &CpuPlan) -> Result<(), CgroupError> {
    let controller = CpuController::new(directory.to_owned(), directory.to_owned(), true);
    if let Some(shares) = plan.shares {
        if !(2..=262_144).contains(&shares) {
            return Err(CgroupError::Limit {
                limit: "shares",
                value: shares.to_string(),
                reason: "not between 2 and 262144",
            });
        }
        let weight = cpu_weight(shares);
        let set = |weight| controller.set_shares(weight);
        file::set_number(directory, "cpu.weight", weight, set)?;
    }
    if plan.quota.is_some() || plan.period.is_some() {
        quota(directory, &controller, plan)?;
    }
    absent(directory, "cpu.rt_period_us", plan.realtime_period)?;
    absent(directory, "cpu.rt_runtime_us", plan.realtime_runtime)?;
    attributes(
        directory,
        &["cpu."],
        &select(&plan.attributes, |name| !name.starts_with("cpuset.")),
    )
}

fn quota(directory: &Path, controller: &CpuController, plan: &CpuPlan) -> Result<(), CgroupError> {
    if plan.quota == Some(0) {
        // The crate would make it unlimited.
        return Err(CgroupError::Limit {
            limit: "quota",
            value: "0".to_owned(),
            reason: "leaves no time at all",
        });
    }
    let quota = match plan.quota {
        Some(quota) if quota > 0 => quota.to_string(),
        _ => "max".to_owned(),
    };
    let value = match plan.period {
        Some(period) => format!("{quota} {period}"),
        None => format!("{quota} 100000"),
    };
    let set = || controller.set_cfs_quota_and_period(plan.quota, plan.period);
    file::set(
        directory,
        "cpu.max",
        &value,
        set,
        file::has_line(value.clone()),
    )
}

fn cpuset(directory: &Path, plan: &CpuPlan) -> Result<(), CgroupError> {
    let controller = CpuSetController::new(directory.to_owned(), directory.to_owned(), true);
    names_some("cpus", plan.cpus.as_deref())?;
    names_some("mems", plan.mems.as_deref())?;
    if let Some(cpus) = &plan.cpus {
        let set = || controller.set_cpus(cpus);
        file::set(directory, "cpuset.cpus", cpus, set, |found| {
            same_list(cpus, found)
        })?;
        // The kernel takes processors that do not exist or that the parent does
        // not have, and then uses others.
        file::verify(directory, "cpuset.cpus.effective", cpus, |found| {
            same_list(cpus, found)
        })?;
    }
    if let Some(mems) = &plan.mems {
        let set = || controller.set_mems(mems);
        file::set(directory, "cpuset.mems", mems, set, |found| {
            same_list(mems, found)
        })?;
        file::verify(directory, "cpuset.mems.effective", mems, |found| {
            same_list(mems, found)
        })?;
    }
    attributes(
        directory,
        &["cpuset."],
        &select(&plan.attributes, |name| name.starts_with("cpuset.")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_memory_plus_swap_minus_memory() {
        let plan = |swap_limit, hard_limit| MemoryPlan {
            swap_limit,
            hard_limit,
            ..MemoryPlan::default()
        };
        for (total, hard, expected) in [
            (None, Some(5), None),
            (Some(-1), None, Some(-1)),
            (Some(-1), Some(5), Some(-1)),
            (Some(10), Some(4), Some(6)),
            (Some(10), Some(10), Some(0)),
        ] {
            assert_eq!(swap(&plan(total, hard)).unwrap(), expected);
        }
        for (total, hard) in [(Some(10), None), (Some(10), Some(11)), (Some(10), Some(-1))] {
            match swap(&plan(total, hard)) {
                Err(CgroupError::Limit {
                    limit: "memory_swap_limit",
                    value,
                    ..
                }) => assert_eq!(value, "10"),
                other => panic!("{other:?}"),
            }
        }
    }
}
