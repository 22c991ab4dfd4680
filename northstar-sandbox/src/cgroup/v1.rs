//! Limits on version 1: one directory per controller.

use super::limits::{attributes, names_some, same_list};
use super::plan::{CgroupPlan, CpuPlan, DEFAULT_PIDS_MAX, IoPlan, MemoryPlan, Throttle};
use super::{CgroupError, Controller, devices, file, realtime};
use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::blkio::BlkIoController;
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
        io(directory, &plan.io)?;
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
        file::set(
            directory,
            name,
            &limit.to_string(),
            || setter(&controller, limit),
            file::is_bytes(limit),
        )?;
    }
    if let Some(limit) = plan.kernel_limit.map(|limit| limit.max(-1)) {
        // Directly, as the crate takes the kernel's "not supported" for success.
        let name = "memory.kmem.limit_in_bytes";
        file::write_and_verify(directory, name, &limit.to_string(), file::is_bytes(limit))?;
    }
    if let Some(swappiness) = plan.swappiness {
        let set = || controller.set_swappiness(swappiness);
        file::set(
            directory,
            "memory.swappiness",
            &swappiness.to_string(),
            set,
            file::is_number(swappiness),
        )?;
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
        let set = || controller.set_shares(shares);
        file::set(
            directory,
            "cpu.shares",
            &shares.to_string(),
            set,
            file::is_number(shares),
        )?;
    }
    if let Some(period) = plan.period {
        let set = || controller.set_cfs_period(period);
        file::set(
            directory,
            "cpu.cfs_period_us",
            &period.to_string(),
            set,
            file::is_number(period),
        )?;
    }
    if let Some(quota) = plan.quota {
        // Every negative value means unlimited; the kernel shows -1.
        let quota = quota.max(-1);
        let set = || controller.set_cfs_quota(quota);
        file::set(
            directory,
            "cpu.cfs_quota_us",
            &quota.to_string(),
            set,
            file::is_number(quota),
        )?;
    }
    if let Some(period) = plan.realtime_period {
        let set = || controller.set_rt_period_us(period);
        file::set(
            directory,
            "cpu.rt_period_us",
            &period.to_string(),
            set,
            file::is_number(period),
        )?;
    }
    if let Some(runtime) = plan.realtime_runtime {
        realtime::make_room(root, directory, runtime)?;
        let set = || controller.set_rt_runtime(runtime);
        file::set(
            directory,
            "cpu.rt_runtime_us",
            &runtime.to_string(),
            set,
            file::is_number(runtime),
        )?;
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

/// One throttle setter of the cgroups crate with the file it writes.
type ThrottleSetter = fn(&BlkIoController, u64, u64, u64) -> SetResult<()>;

fn io(directory: &Path, plan: &IoPlan) -> Result<(), CgroupError> {
    let controller = BlkIoController::new(directory.to_owned(), directory.to_owned(), false);
    if let Some(weight) = plan.weight {
        let name = weight_file(directory, "blkio.weight", "blkio.bfq.weight");
        file::write_and_verify(
            directory,
            name,
            &weight.to_string(),
            file::is_number(weight),
        )?;
    }
    if let Some(weight) = plan.leaf_weight {
        file::write_and_verify(
            directory,
            "blkio.leaf_weight",
            &weight.to_string(),
            file::is_number(weight),
        )?;
    }
    for device in &plan.device_weights {
        let weights = [
            (
                weight_file(directory, "blkio.weight_device", "blkio.bfq.weight_device"),
                device.weight,
            ),
            ("blkio.leaf_weight_device", device.leaf_weight),
        ];
        for (name, weight) in weights {
            let Some(weight) = weight else { continue };
            let value = format!("{}:{} {weight}", device.major, device.minor);
            file::write_and_verify(directory, name, &value, file::has_line(value.clone()))?;
        }
    }
    let throttles: [(&str, &[Throttle], ThrottleSetter); 4] = [
        (
            "blkio.throttle.read_bps_device",
            &plan.read_bps,
            BlkIoController::throttle_read_bps_for_device,
        ),
        (
            "blkio.throttle.write_bps_device",
            &plan.write_bps,
            BlkIoController::throttle_write_bps_for_device,
        ),
        (
            "blkio.throttle.read_iops_device",
            &plan.read_iops,
            BlkIoController::throttle_read_iops_for_device,
        ),
        (
            "blkio.throttle.write_iops_device",
            &plan.write_iops,
            BlkIoController::throttle_write_iops_for_device,
        ),
    ];
    for (name, list, setter) in throttles {
        for Throttle { major, minor, rate } in list.iter().copied() {
            let value = format!("{major}:{minor} {rate}");
            let set = || setter(&controller, major, minor, rate);
            file::set(directory, name, &value, set, file::has_line(value.clone()))?;
        }
    }
    attributes(directory, &["blkio."], &plan.attributes)
}

/// The weight file of this kernel: CFQ's until 5.0, BFQ's where it is loaded.
fn weight_file<'a>(directory: &Path, cfq: &'a str, bfq: &'a str) -> &'a str {
    if !file::exists(directory, cfq) && file::exists(directory, bfq) {
        bfq
    } else {
        cfq
    }
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
    let set = || controller.set_pid_max(MaxValue::Value(limit));
    file::set(
        directory,
        "pids.max",
        &max.to_string(),
        set,
        file::is_number(max),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::DeviceWeight;
    use std::fs;

    /// CFQ had the names without `bfq`; of two schedulers the one that groups were made for.
    #[test]
    fn weights_go_to_the_file_that_the_kernel_has() {
        let device = DeviceWeight {
            major: 8,
            minor: 16,
            weight: Some(300),
            leaf_weight: None,
        };
        let plan = IoPlan {
            weight: Some(500),
            device_weights: vec![device],
            ..IoPlan::default()
        };
        const CFQ: [&str; 2] = ["blkio.weight", "blkio.weight_device"];
        const BFQ: [&str; 2] = ["blkio.bfq.weight", "blkio.bfq.weight_device"];
        for (present, written) in [
            (&CFQ[..], CFQ),
            (&BFQ[..], BFQ),
            (&[CFQ, BFQ].concat()[..], CFQ),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
            for name in present {
                fs::write(directory.path().join(name), "").unwrap();
            }
            io(directory.path(), &plan).unwrap();
            assert_eq!(written.map(read), ["500", "8:16 300"], "{present:?}");
        }
        let nothing = tempfile::tempdir().unwrap();
        match io(nothing.path(), &plan) {
            Err(CgroupError::Missing { file, .. }) => {
                assert_eq!(file, nothing.path().join("blkio.weight"));
            }
            other => panic!("{other:?}"),
        }
    }
}
