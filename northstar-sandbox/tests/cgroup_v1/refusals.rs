//! What cannot be applied is an error and leaves nothing.

use super::*;

#[test]
fn limits_the_kernel_refuses_leave_nothing_behind() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "refused");
    let cases = [
        (
            with_memory(MemoryPlan {
                swappiness: Some(1_000),
                ..Default::default()
            }),
            "memory.swappiness",
            "1000",
        ),
        (
            with_memory(MemoryPlan {
                kernel_limit: Some(4_096),
                ..Default::default()
            }),
            "memory.kmem.limit_in_bytes",
            "4096",
        ),
        (
            with_memory(MemoryPlan {
                oom_group: Some(true),
                ..Default::default()
            }),
            "memory.oom.group",
            "1",
        ),
        (
            with_memory(MemoryPlan {
                hard_limit: Some(1 << 24),
                swap_limit: Some(1 << 23),
                ..Default::default()
            }),
            "memory.memsw.limit_in_bytes",
            "8388608",
        ),
        (
            with_cpu(CpuPlan {
                cpus: Some("4000".to_owned()),
                ..Default::default()
            }),
            "cpuset.cpus",
            "4000",
        ),
        (
            with_cpu(CpuPlan {
                shares: Some(1),
                ..Default::default()
            }),
            "cpu.shares",
            "1",
        ),
        (
            with_cpu(CpuPlan {
                period: Some(1),
                ..Default::default()
            }),
            "cpu.cfs_period_us",
            "1",
        ),
        (
            CgroupPlan {
                io: IoPlan {
                    leaf_weight: Some(100),
                    ..Default::default()
                },
                ..Default::default()
            },
            "blkio.leaf_weight",
            "100",
        ),
    ];
    let (major, minor) = block_device();
    let throttle = |device: (u64, u64), rate| CgroupPlan {
        io: IoPlan {
            read_bps: vec![Throttle {
                major: device.0,
                minor: device.1,
                rate,
            }],
            ..Default::default()
        },
        ..Default::default()
    };
    let nothing = format!("{major}:{minor} 0");
    let cases = cases.into_iter().chain([
        // The kernel takes it for no limit.
        (
            throttle((major, minor), 0),
            "blkio.throttle.read_bps_device",
            nothing.as_str(),
        ),
        (
            throttle((4_000, 1), 5),
            "blkio.throttle.read_bps_device",
            "4000:1 5",
        ),
    ]);
    for (plan, name, expected) in cases {
        let (found, value) = refused(&hierarchy, &top, &plan);
        assert_eq!((found.as_str(), value.as_str()), (name, expected));
    }
    top.remove().unwrap();
}

#[test]
fn a_missing_controller_is_an_error_only_if_it_is_asked_for() {
    let hierarchy =
        support::hierarchy(|line| line.contains(" - cgroup ") && line.contains("memory"));
    let top = top(&hierarchy, "missing");
    let path = top.path().join("container");
    match create(
        &hierarchy,
        &path,
        &CgroupPlan {
            pids: Some(5),
            ..CgroupPlan::default()
        },
    ) {
        Err(CgroupError::NoController {
            controller: Controller::Pids,
            limit: "cgroups.pids",
        }) => {}
        other => panic!("{other:?}"),
    }
    let group = group(&hierarchy, &top, &CgroupPlan::default());
    let off = [Controller::Cpu, Controller::Pids, Controller::Devices];
    assert_eq!(group.off(), off);
    assert_eq!(group.statistics().unwrap().pids, None);
    end(group, top);
}

#[test]
fn version_2_without_controllers_takes_no_limits() {
    let hierarchy = support::hierarchy(|line| line.contains(" - cgroup2 "));
    assert!(!hierarchy.has(Controller::Pids), "this test needs a hybrid");
    let top = top(&hierarchy, "bare");
    match create(
        &hierarchy,
        &top.path().join("container"),
        &CgroupPlan {
            pids: Some(5),
            ..CgroupPlan::default()
        },
    ) {
        Err(CgroupError::NoController {
            controller: Controller::Pids,
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
    let group = group(&hierarchy, &top, &CgroupPlan::default());
    assert_eq!(group.off(), [Controller::Cpu, Controller::Pids]);
    assert!(group.memory_monitor().unwrap().is_none());
    let statistics = group.statistics().unwrap();
    assert_eq!((statistics.memory, statistics.pids), (None, None));
    end(group, top);
}

#[test]
fn a_process_that_is_gone_is_not_added() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "gone");
    let group = group(&hierarchy, &top, &CgroupPlan::default());
    let mut shell = Shell::new("");
    shell.go();
    shell.wait();
    match group.add(shell.pid()) {
        Err(CgroupError::Write { source, .. }) => {
            assert_eq!(source.raw_os_error(), Some(nix::errno::Errno::ESRCH as i32));
        }
        other => panic!("{other:?}"),
    }
    for pid in [0, -1] {
        assert!(matches!(
            group.add(pid),
            Err(CgroupError::Limit { limit: "pid", .. })
        ));
    }
    end(group, top);
}

#[test]
fn a_group_inside_that_of_a_container_is_refused() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "inside");
    let outer = group(&hierarchy, &top, &CgroupPlan::default());
    match create(
        &hierarchy,
        &outer.path().join("inner"),
        &CgroupPlan::default(),
    ) {
        Err(CgroupError::Foreign { path }) => assert!(path.ends_with(outer.path())),
        other => panic!("{other:?}"),
    }
    end(outer, top);
}

#[test]
fn a_list_of_no_processors_is_refused() {
    for (name, hierarchy) in [("none-v1", v1()), ("none-hybrid", hybrid())] {
        let top = top(&hierarchy, name);
        let list = Some(" , ".to_owned());
        for (limit, cpus, mems) in [("cpus", list.clone(), None), ("mems", None, list)] {
            let cpu = CpuPlan {
                cpus,
                mems,
                ..CpuPlan::default()
            };
            let plan = CgroupPlan {
                cpu,
                ..CgroupPlan::default()
            };
            match create(&hierarchy, &top.path().join("container"), &plan) {
                Err(CgroupError::Limit { limit: found, .. }) => assert_eq!(found, limit),
                other => panic!("{other:?}"),
            }
        }
        top.remove().unwrap();
    }
}
