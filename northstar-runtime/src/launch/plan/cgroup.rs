//! The limits of a container's control group.

use crate::launch::{Error, resolve::Resolved};
use northstar_manifest::{
    BlkIo, BlkIoThrottle, CGroups, Capability, Cpu, DeviceKind, Manifest, Memory, Mount, Policy,
    RlimitKind,
};
use northstar_sandbox::cgroup::{
    CgroupPlan, CpuPlan, DeviceWeight, DevicesPlan, IoPlan, MemoryPlan, Throttle, container_path,
    devices::{self, Access, DeviceRule},
};
use rustix::fs::{FileType, fstat, major, minor};
use std::path::{Path, PathBuf};

/// Where the group is, relative to the cgroup root: the manifest's parent or the configured group, then the name.
pub(super) fn path(configured: &Path, manifest: &Manifest) -> Result<PathBuf, Error> {
    let parent = manifest
        .cgroups
        .as_ref()
        .and_then(|cgroups| cgroups.parent.as_deref());
    container_path(configured, parent, manifest.name.as_ref()).map_err(Error::Cgroup)
}

/// Whether memory events are to be told.
pub(super) fn monitors_memory(manifest: &Manifest) -> bool {
    let memory = manifest
        .cgroups
        .as_ref()
        .and_then(|cgroups| cgroups.memory.as_ref());
    memory.is_some_and(|memory| memory.oom_monitor)
}

/// The group's limits. Opened bind sources are looked at for the devices they bring.
pub(super) fn plan(resolved: &Resolved) -> CgroupPlan {
    let mut plan = named(&resolved.package.manifest);
    plan.devices.rules.extend(bound_devices(resolved));
    plan
}

/// What the manifest itself says.
fn named(manifest: &Manifest) -> CgroupPlan {
    let realtime = may_be_realtime(manifest);
    let Some(CGroups {
        parent: _,
        blkio,
        cpu,
        memory,
        pids,
        devices,
    }) = &manifest.cgroups
    else {
        return CgroupPlan {
            realtime,
            ..CgroupPlan::default()
        };
    };
    CgroupPlan {
        memory: memory.as_ref().map(memory_plan).unwrap_or_default(),
        cpu: cpu.as_ref().map(cpu_plan).unwrap_or_default(),
        io: blkio.as_ref().map(io_plan).unwrap_or_default(),
        pids: pids.map(|pids| pids.max),
        devices: DevicesPlan {
            rules: devices.iter().flatten().map(device).collect(),
            required: devices.is_some(),
        },
        realtime,
    }
}

/// Whether a program is given a realtime policy, or the right to take one. (Deadlines are none of a group's business.)
fn may_be_realtime(manifest: &Manifest) -> bool {
    let policy = manifest.sched.as_ref().map(|sched| &sched.policy);
    let given = matches!(
        policy,
        Some(Policy::Fifo { .. } | Policy::RoundRobin { .. })
    );
    let limit = manifest.rlimits.get(&RlimitKind::Rtprio);
    given
        || manifest.capabilities.contains(&Capability::SysNice)
        || limit.is_some_and(|limit| limit.hard != Some(0))
}

fn memory_plan(memory: &Memory) -> MemoryPlan {
    let Memory {
        oom_monitor: _,
        kernel_memory_limit,
        memory_hard_limit,
        memory_soft_limit,
        kernel_tcp_memory_limit,
        memory_swap_limit,
        swappiness,
        attrs,
    } = memory;
    MemoryPlan {
        hard_limit: *memory_hard_limit,
        soft_limit: *memory_soft_limit,
        swap_limit: *memory_swap_limit,
        swappiness: *swappiness,
        kernel_limit: *kernel_memory_limit,
        kernel_tcp_limit: *kernel_tcp_memory_limit,
        oom_group: None,
        attributes: attrs.clone(),
    }
}

fn cpu_plan(cpu: &Cpu) -> CpuPlan {
    let Cpu {
        cpus,
        mems,
        shares,
        quota,
        period,
        realtime_runtime,
        realtime_period,
        attrs,
    } = cpu;
    CpuPlan {
        shares: *shares,
        quota: *quota,
        period: *period,
        cpus: cpus.clone(),
        mems: mems.clone(),
        realtime_runtime: *realtime_runtime,
        realtime_period: *realtime_period,
        attributes: attrs.clone(),
    }
}

fn io_plan(blkio: &BlkIo) -> IoPlan {
    let weights = blkio.weight_device.iter().map(|device| DeviceWeight {
        major: device.major,
        minor: device.minor,
        weight: device.weight,
        leaf_weight: device.leaf_weight,
    });
    IoPlan {
        weight: blkio.weight,
        leaf_weight: blkio.leaf_weight,
        device_weights: weights.collect(),
        read_bps: throttles(&blkio.throttle_read_bps_device),
        write_bps: throttles(&blkio.throttle_write_bps_device),
        read_iops: throttles(&blkio.throttle_read_iops_device),
        write_iops: throttles(&blkio.throttle_write_iops_device),
        attributes: blkio.attrs.clone(),
    }
}

fn throttles(throttles: &[BlkIoThrottle]) -> Vec<Throttle> {
    let throttle = |BlkIoThrottle { major, minor, rate }: &BlkIoThrottle| Throttle {
        major: *major,
        minor: *minor,
        rate: *rate,
    };
    throttles.iter().map(throttle).collect()
}

fn device(rule: &northstar_manifest::DeviceRule) -> DeviceRule {
    let kind = match rule.kind {
        DeviceKind::Char => devices::DeviceKind::Char,
        DeviceKind::Block => devices::DeviceKind::Block,
    };
    let access = Access {
        read: rule.access.read,
        write: rule.access.write,
        mknod: rule.access.mknod,
    };
    DeviceRule {
        kind,
        major: rule.major,
        minor: rule.minor,
        access,
    }
}

/// A device node that is bound without `nodev` is meant to be used, and so is any node in a directory that is. A
/// read-only mount does not keep anybody from writing to a device.
fn bound_devices(resolved: &Resolved) -> Vec<DeviceRule> {
    let mut rules = Vec::new();
    let mut directories = Vec::new();
    for (target, mount) in &resolved.package.manifest.mounts {
        let Mount::Bind { options, .. } = mount else {
            continue;
        };
        let Some(source) = resolved.sources.get(target).filter(|_| !options.nodev) else {
            continue;
        };
        let Ok(stat) = fstat(&source.0) else { continue };
        let rule = |kind, major, minor| DeviceRule {
            kind,
            major,
            minor,
            access: Access::READ_WRITE,
        };
        let node = |kind| rule(kind, Some(major(stat.st_rdev)), Some(minor(stat.st_rdev)));
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice => rules.push(node(devices::DeviceKind::Char)),
            FileType::BlockDevice => rules.push(node(devices::DeviceKind::Block)),
            FileType::Directory => directories.push(target.display().to_string()),
            _ => {}
        }
    }
    if !directories.is_empty() {
        let container = &resolved.package.container;
        let directories = directories.join(", ");
        tracing::info!("{container} may open all devices: {directories} bound without nodev");
        let (kind, access) = (devices::DeviceKind::All, Access::READ_WRITE);
        rules.push(DeviceRule {
            kind,
            major: None,
            minor: None,
            access,
        });
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each key with a value of its own.
    const EVERYTHING: &str = "
cgroups:
  cpu:
    {cpus: '0-1', mems: '0', shares: 3, quota: 4000, period: 5000, realtime_runtime: 6, realtime_period: 7,
     attrs: {cpu.idle: '8'}}
  memory:
    {memory_hard_limit: 11, memory_soft_limit: 12, memory_swap_limit: 13, swappiness: 14, kernel_memory_limit: 15,
     kernel_tcp_memory_limit: 16, oom_monitor: true, attrs: {memory.high: '17'}}
  blkio:
    weight: 21
    leaf_weight: 22
    weight_device: [{major: 23, minor: 24, weight: 25, leaf_weight: 26}]
    throttle_read_bps_device: [{major: 31, minor: 32, rate: 33}]
    throttle_write_bps_device: [{major: 34, minor: 35, rate: 36}]
    throttle_read_iops_device: [{major: 37, minor: 38, rate: 39}]
    throttle_write_iops_device: [{major: 40, minor: 41, rate: 42}]
    attrs: {io.latency: '43'}
  pids: {max: 51}
  devices: [{type: char, major: 61, minor: 62, access: r}, {type: block, access: wm}]
";

    fn manifest(fields: &str) -> Manifest {
        let usual = "name: a\nversion: 0.0.1\ninit: /a\nuid: 1\ngid: 1";
        Manifest::from_yaml(format!("{usual}\n{fields}\n").as_bytes()).unwrap()
    }

    #[test]
    fn every_key_arrives_where_it_belongs() {
        let manifest = manifest(EVERYTHING);
        let text = |text: &str| Some(text.to_owned());
        let attributes = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
        let throttle = |major, minor, rate| vec![Throttle { major, minor, rate }];
        let rule = |kind, major, minor, access: [bool; 3]| DeviceRule {
            kind,
            major,
            minor,
            access: Access {
                read: access[0],
                write: access[1],
                mknod: access[2],
            },
        };
        let expected = CgroupPlan {
            cpu: CpuPlan {
                cpus: text("0-1"),
                mems: text("0"),
                shares: Some(3),
                quota: Some(4_000),
                period: Some(5_000),
                realtime_runtime: Some(6),
                realtime_period: Some(7),
                attributes: attributes("cpu.idle", "8"),
            },
            memory: MemoryPlan {
                hard_limit: Some(11),
                soft_limit: Some(12),
                swap_limit: Some(13),
                swappiness: Some(14),
                kernel_limit: Some(15),
                kernel_tcp_limit: Some(16),
                oom_group: None,
                attributes: attributes("memory.high", "17"),
            },
            io: IoPlan {
                weight: Some(21),
                leaf_weight: Some(22),
                device_weights: vec![DeviceWeight {
                    major: 23,
                    minor: 24,
                    weight: Some(25),
                    leaf_weight: Some(26),
                }],
                read_bps: throttle(31, 32, 33),
                write_bps: throttle(34, 35, 36),
                read_iops: throttle(37, 38, 39),
                write_iops: throttle(40, 41, 42),
                attributes: attributes("io.latency", "43"),
            },
            pids: Some(51),
            devices: DevicesPlan {
                rules: vec![
                    rule(
                        devices::DeviceKind::Char,
                        Some(61),
                        Some(62),
                        [true, false, false],
                    ),
                    rule(devices::DeviceKind::Block, None, None, [false, true, true]),
                ],
                required: true,
            },
            realtime: false,
        };
        assert_eq!(named(&manifest), expected);
        assert!(monitors_memory(&manifest));
    }

    #[test]
    fn nothing_that_is_not_written_is_asked_for() {
        for fields in [
            "",
            "cgroups: {}",
            "cgroups: {memory: {}, cpu: {}, blkio: {}}",
        ] {
            let manifest = manifest(fields);
            assert_eq!(named(&manifest), CgroupPlan::default(), "{fields}");
            assert!(!monitors_memory(&manifest), "{fields}");
        }
        let none = named(&manifest("cgroups: {devices: []}")).devices;
        assert_eq!((none.rules, none.required), (Vec::new(), true));
    }

    #[test]
    fn realtime_is_what_is_given_or_can_be_taken() {
        for (fields, expected) in [
            ("", false),
            ("sched: {policy: !other {nice: -20}}", false),
            ("sched: {policy: idle}", false),
            (
                "sched: {policy: !deadline {runtime: 1024, deadline: 2048, period: 4096}}",
                false,
            ),
            ("sched: {policy: !fifo {priority: 1}}", true),
            ("sched: {policy: !round_robin {priority: 1}}", true),
            ("capabilities: [CAP_SYS_NICE]", true),
            ("capabilities: [CAP_SYS_ADMIN]", false),
            ("rlimits: {rtprio: {soft: 0, hard: 0}}", false),
            ("rlimits: {rtprio: {soft: 0, hard: 1}}", true),
            ("rlimits: {rtprio: {}}", true),
            ("rlimits: {rttime: {}}", false),
        ] {
            assert_eq!(may_be_realtime(&manifest(fields)), expected, "{fields}");
        }
    }
}
