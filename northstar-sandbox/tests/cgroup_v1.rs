//! Control groups of version 1, on a machine that has them; needs root.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod support;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use northstar_sandbox::cgroup::devices::{Access, DeviceKind, DeviceRule};
use northstar_sandbox::cgroup::{
    CgroupError, CgroupPlan, Controller, CpuPlan, DevicesPlan, Hierarchy, IoPlan, MemoryPlan,
    Throttle, TopGroup, Version, create, remove_tree,
};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::{Shell, end, eventually, group, left_over, run, top};

/// Version 1 only, also on a hybrid.
fn v1() -> Hierarchy {
    let hierarchy = support::hierarchy(|line| !line.contains(" - cgroup2 "));
    assert_eq!(
        hierarchy.version(),
        Version::V1,
        "this test needs control groups of version 1"
    );
    hierarchy
}

/// Version 1 with the tree of version 2 beside it.
fn hybrid() -> Hierarchy {
    let hierarchy = Hierarchy::detect().unwrap();
    assert_eq!(
        hierarchy.version(),
        Version::Hybrid,
        "this test needs a hybrid of version 1 and 2"
    );
    hierarchy
}

/// A file of a test's group.
fn file(controller: &str, top: &TopGroup, name: &str) -> PathBuf {
    Path::new("/sys/fs/cgroup")
        .join(controller)
        .join(top.path())
        .join("container")
        .join(name)
}

fn content(controller: &str, top: &TopGroup, name: &str) -> String {
    fs::read_to_string(file(controller, top, name))
        .unwrap()
        .trim()
        .to_owned()
}

/// Any block device of this machine, for throttles.
fn block_device() -> (u64, u64) {
    let name = fs::read_dir("/sys/block")
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
        .join("dev");
    let content = fs::read_to_string(name).unwrap();
    let (major, minor) = content.trim().split_once(':').unwrap();
    (major.parse().unwrap(), minor.parse().unwrap())
}

#[test]
fn limits_are_in_force() {
    for (name, hierarchy) in [("limits-v1", v1()), ("limits-hybrid", hybrid())] {
        let top = top(&hierarchy, name);
        let (major, minor) = block_device();
        let throttle = |rate| vec![Throttle { major, minor, rate }];
        let plan = CgroupPlan {
            memory: MemoryPlan {
                hard_limit: Some(64 << 20),
                soft_limit: Some(32 << 20),
                swap_limit: Some(80 << 20),
                swappiness: Some(7),
                kernel_tcp_limit: Some(1 << 20),
                attributes: BTreeMap::from([(
                    "memory.move_charge_at_immigrate".to_owned(),
                    "0".to_owned(),
                )]),
                ..MemoryPlan::default()
            },
            cpu: CpuPlan {
                shares: Some(512),
                quota: Some(20_000),
                period: Some(50_000),
                cpus: Some("0".to_owned()),
                attributes: BTreeMap::from([("cpuset.memory_migrate".to_owned(), "1".to_owned())]),
                ..CpuPlan::default()
            },
            io: IoPlan {
                read_bps: throttle(1 << 20),
                write_bps: throttle(2 << 20),
                read_iops: throttle(100),
                write_iops: throttle(200),
                ..IoPlan::default()
            },
            pids: Some(32),
            devices: DevicesPlan::default(),
        };
        let group = group(&hierarchy, &top, &plan);
        for (controller, name, expected) in [
            ("memory", "memory.limit_in_bytes", "67108864"),
            ("memory", "memory.soft_limit_in_bytes", "33554432"),
            ("memory", "memory.memsw.limit_in_bytes", "83886080"),
            ("memory", "memory.swappiness", "7"),
            ("memory", "memory.kmem.tcp.limit_in_bytes", "1048576"),
            ("cpu", "cpu.shares", "512"),
            ("cpu", "cpu.cfs_quota_us", "20000"),
            ("cpu", "cpu.cfs_period_us", "50000"),
            ("cpuset", "cpuset.cpus", "0"),
            ("cpuset", "cpuset.memory_migrate", "1"),
            ("pids", "pids.max", "32"),
        ] {
            assert_eq!(content(controller, &top, name), expected, "{name}");
        }
        for (name, rate) in [
            ("read_bps", 1 << 20),
            ("write_bps", 2 << 20),
            ("read_iops", 100),
            ("write_iops", 200),
        ] {
            let name = format!("blkio.throttle.{name}_device");
            assert_eq!(
                content("blkio", &top, &name),
                format!("{major}:{minor} {rate}"),
                "{name}"
            );
        }
        assert_eq!(group.off(), []);
        end(group, top);
    }
}

#[test]
fn an_absent_plan_still_limits_processes_and_devices() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "defaults");
    let group = group(&hierarchy, &top, &CgroupPlan::default());
    assert_eq!(content("pids", &top, "pids.max"), "1024");
    let devices = content("devices", &top, "devices.list");
    let mut devices: Vec<&str> = devices.lines().collect();
    devices.sort_unstable();
    assert_eq!(
        devices,
        [
            "c 136:* rw",
            "c 1:3 rw",
            "c 1:5 rw",
            "c 1:7 rw",
            "c 1:8 rw",
            "c 1:9 rw",
            "c 5:0 rw",
            "c 5:2 rw"
        ]
    );
    end(group, top);
}

#[test]
fn devices_are_denied_unless_allowed() {
    let hierarchy = v1();
    let top = top(&hierarchy, "devices");
    let directory = tempfile::tempdir().unwrap();
    // The kernel log: readable by root, and no rule of ours allows it.
    let node = directory.path().join("kmsg");
    let made = std::process::Command::new("mknod")
        .arg(&node)
        .args(["c", "1", "11"])
        .status()
        .unwrap();
    assert!(made.success());
    let node = node.display();
    let open = format!("exec 3<{node}");
    let rule = DeviceRule {
        kind: DeviceKind::Char,
        major: Some(1),
        minor: Some(11),
        access: Access::READ_WRITE,
    };

    let denying = group(&hierarchy, &top, &CgroupPlan::default());
    assert!(run(&denying, "exec 3<>/dev/null 4</dev/urandom").success());
    assert!(!run(&denying, &open).success());
    assert!(!run(&denying, &format!("mknod {node}2 c 1 3")).success());
    denying.destroy().unwrap();

    let devices = DevicesPlan {
        rules: vec![rule],
        required: true,
    };
    let allowing = group(
        &hierarchy,
        &top,
        &CgroupPlan {
            devices,
            ..CgroupPlan::default()
        },
    );
    assert!(run(&allowing, &open).success());
    assert!(!run(&allowing, &format!("mknod {node}3 c 1 11")).success());
    end(allowing, top);
}

#[test]
fn running_out_of_memory_is_an_event() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "oom");
    let memory = MemoryPlan {
        hard_limit: Some(16 << 20),
        ..MemoryPlan::default()
    };
    let group = group(
        &hierarchy,
        &top,
        &CgroupPlan {
            memory,
            ..CgroupPlan::default()
        },
    );
    let mut monitor = group.memory_monitor().unwrap().unwrap();
    assert_eq!(monitor.read().unwrap().unwrap().oom_kill, 0);

    // tail keeps the one line, which is too long.
    let status = run(
        &group,
        "head -c 64000000 /dev/zero | tail -c 64000000 >/dev/null",
    );
    assert!(!status.success(), "{status:?}");
    let mut poll_fd = [PollFd::new(monitor.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut poll_fd, PollTimeout::from(5_000u16)).unwrap(), 1);
    let events = monitor.read().unwrap().unwrap();
    assert!(
        events.oom >= 1 && events.oom_kill >= 1 && events.max >= 1,
        "{events:?}"
    );
    assert_eq!(
        group.memory_events().unwrap().unwrap().oom_kill,
        events.oom_kill
    );
    let mut poll_fd = [PollFd::new(monitor.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut poll_fd, PollTimeout::ZERO).unwrap(), 0, "drained");

    end(group, top);
    assert_eq!(monitor.read().unwrap(), None);
}

#[test]
fn statistics_are_those_of_the_group() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "statistics");
    let plan = CgroupPlan {
        memory: MemoryPlan {
            hard_limit: Some(64 << 20),
            ..MemoryPlan::default()
        },
        cpu: CpuPlan {
            quota: Some(5_000),
            period: Some(50_000),
            ..CpuPlan::default()
        },
        pids: Some(7),
        ..CgroupPlan::default()
    };
    let group = group(&hierarchy, &top, &plan);
    let mut shell = Shell::new("while :; do :; done");
    group.add(shell.pid()).unwrap();
    shell.go();
    eventually("the quota throttles", || {
        group
            .statistics()
            .unwrap()
            .cpu
            .unwrap()
            .throttled_usec
            .unwrap()
            > 0
    });
    let statistics = group.statistics().unwrap();
    let (cpu, memory, pids) = (
        statistics.cpu.unwrap(),
        statistics.memory.unwrap(),
        statistics.pids.unwrap(),
    );
    assert!(
        cpu.usage_usec > 0 && cpu.nr_throttled.unwrap() > 0 && cpu.nr_periods.unwrap() > 0,
        "{cpu:?}"
    );
    assert_eq!(memory.max, Some(64 << 20));
    assert!(
        memory.anon.is_some() && memory.file.is_some() && memory.peak.unwrap() >= memory.current,
        "{memory:?}"
    );
    assert_eq!((pids.current, pids.max), (1, Some(7)));
    assert!(statistics.io.is_some());
    assert_eq!(
        group.processes().unwrap().into_iter().collect::<Vec<_>>(),
        [shell.pid()]
    );
    end(group, top);
}

#[test]
fn a_fork_bomb_stays_below_the_limit() {
    for (name, hierarchy) in [("bomb-v1", v1()), ("bomb-hybrid", hybrid())] {
        let top = top(&hierarchy, name);
        let group = group(
            &hierarchy,
            &top,
            &CgroupPlan {
                pids: Some(20),
                ..CgroupPlan::default()
            },
        );
        let mut shell = Shell::new("bomb() { bomb | bomb & }; while :; do bomb; done");
        group.add(shell.pid()).unwrap();
        shell.go();
        let events = file("pids", &top, "pids.events");
        eventually("the limit was hit", || {
            fs::read_to_string(&events).unwrap().trim() != "max 0"
        });
        let pids = group.statistics().unwrap().pids.unwrap();
        assert!(pids.current <= 20, "{pids:?}");
        end(group, top);
    }
}

#[test]
fn limits_the_kernel_refuses_leave_nothing_behind() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "refused");
    let memory = |memory| CgroupPlan {
        memory,
        ..CgroupPlan::default()
    };
    let cpu = |cpu| CgroupPlan {
        cpu,
        ..CgroupPlan::default()
    };
    let cases = [
        (
            memory(MemoryPlan {
                swappiness: Some(1_000),
                ..Default::default()
            }),
            "memory.swappiness",
            "1000",
        ),
        (
            memory(MemoryPlan {
                kernel_limit: Some(4_096),
                ..Default::default()
            }),
            "memory.kmem.limit_in_bytes",
            "4096",
        ),
        (
            memory(MemoryPlan {
                oom_group: Some(true),
                ..Default::default()
            }),
            "memory.oom.group",
            "1",
        ),
        (
            memory(MemoryPlan {
                hard_limit: Some(1 << 24),
                swap_limit: Some(1 << 23),
                ..Default::default()
            }),
            "memory.memsw.limit_in_bytes",
            "8388608",
        ),
        (
            cpu(CpuPlan {
                cpus: Some("4000".to_owned()),
                ..Default::default()
            }),
            "cpuset.cpus",
            "4000",
        ),
        (
            cpu(CpuPlan {
                shares: Some(1),
                ..Default::default()
            }),
            "cpu.shares",
            "1",
        ),
        (
            cpu(CpuPlan {
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
    for (plan, name, expected) in cases {
        match create(&hierarchy, &top.path().join("container"), &plan) {
            Err(
                CgroupError::Write { file, value, .. }
                | CgroupError::Missing { file, value }
                | CgroupError::Mismatch { file, value, .. },
            ) => {
                assert_eq!(file.file_name().unwrap(), name);
                assert_eq!(value, expected);
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(
            left_over(&format!("{}/container", top.path().display())),
            Vec::<PathBuf>::new(),
            "{name}"
        );
    }
    top.remove().unwrap();
}

#[test]
fn realtime_time_is_granted_along_the_path() {
    let hierarchy = v1();
    let top = top(&hierarchy, "realtime");
    let plan = CgroupPlan {
        cpu: CpuPlan {
            realtime_runtime: Some(1_000),
            ..CpuPlan::default()
        },
        ..CgroupPlan::default()
    };
    if !Path::new("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists() {
        // A kernel without CONFIG_RT_GROUP_SCHED has no time to grant, and says so.
        match create(&hierarchy, &top.path().join("container"), &plan) {
            Err(CgroupError::Missing { file, .. }) => {
                assert_eq!(file.file_name().unwrap(), "cpu.rt_runtime_us");
            }
            other => panic!("{other:?}"),
        }
        top.remove().unwrap();
        return;
    }
    let group = group(&hierarchy, &top, &plan);
    assert_eq!(content("cpu", &top, "cpu.rt_runtime_us"), "1000");
    assert!(run(&group, "chrt --fifo 1 true").success());
    end(group, top);
}

#[test]
fn a_group_with_processes_is_reported_in_time() {
    for (name, hierarchy) in [("busy-v1", v1()), ("busy-hybrid", hybrid())] {
        let top = top(&hierarchy, name);
        let busy = group(&hierarchy, &top, &CgroupPlan::default());
        let shell = Shell::new("");
        busy.add(shell.pid()).unwrap();

        match create(
            &hierarchy,
            &top.path().join("container"),
            &CgroupPlan::default(),
        ) {
            Err(CgroupError::InUse { pids, .. }) => assert_eq!(pids, [shell.pid()]),
            other => panic!("{other:?}"),
        }

        let started = Instant::now();
        let deadline = Duration::from_millis(200);
        match busy.destroy_within(deadline) {
            Err(CgroupError::Busy { pids, waited, .. }) => {
                assert_eq!((pids, waited), (vec![shell.pid()], deadline));
            }
            other => panic!("{other:?}"),
        }
        assert!(started.elapsed() < Duration::from_secs(5));
        // What destroy could not remove is cleared away with its processes.
        top.clear().unwrap();
        assert_eq!(
            left_over(&format!("{}/container", top.path().display())),
            Vec::<PathBuf>::new()
        );
        top.remove().unwrap();
    }
}

#[test]
fn a_frozen_group_is_killed() {
    let hierarchy = v1();
    let top = top(&hierarchy, "frozen");
    let group = group(&hierarchy, &top, &CgroupPlan::default());
    let shell = Shell::new("");
    group.add(shell.pid()).unwrap();
    fs::write(file("freezer", &top, "freezer.state"), "FROZEN").unwrap();
    eventually("frozen", || {
        content("freezer", &top, "freezer.state") == "FROZEN"
    });
    end(group, top);
}

#[test]
fn an_empty_group_that_was_left_is_replaced() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "stale");
    let plan = CgroupPlan {
        pids: Some(3),
        ..CgroupPlan::default()
    };
    let shell = Shell::new("");
    let left = group(&hierarchy, &top, &plan);
    left.add(shell.pid()).unwrap();
    // It is not empty yet.
    drop(left);
    drop(shell);
    assert_eq!(content("pids", &top, "pids.max"), "3");
    let group = group(&hierarchy, &top, &CgroupPlan::default());
    assert_eq!(content("pids", &top, "pids.max"), "1024");
    end(group, top);
}

#[test]
fn an_empty_group_of_the_operator_is_neither_replaced_nor_removed() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "operator");
    let operators = file("pids", &top, "");
    fs::create_dir(&operators).unwrap();
    fs::write(operators.join("pids.max"), "3").unwrap();
    let path = top.path().join("container");
    match create(&hierarchy, &path, &CgroupPlan::default()) {
        Err(CgroupError::Foreign { path }) => assert_eq!(path, operators),
        other => panic!("{other:?}"),
    }
    assert_eq!(content("pids", &top, "pids.max"), "3");
    assert_eq!(
        left_over(&path.display().to_string()),
        [operators.components().as_path()]
    );
    fs::remove_dir(operators).unwrap();
    top.remove().unwrap();
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
fn processes_that_got_in_by_mistake_get_out_alive() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "expel");
    let group = group(&hierarchy, &top, &CgroupPlan::default());
    let mut shell = Shell::new("exit 7");
    group.add(shell.pid()).unwrap();
    group.expel().unwrap();
    assert!(group.processes().unwrap().is_empty());
    group.kill().unwrap();
    group.destroy().unwrap();
    shell.go();
    assert_eq!(shell.wait().code(), Some(7));
    top.remove().unwrap();
}

#[test]
fn a_daemon_has_its_group_for_itself() {
    let hierarchy = hybrid();
    let first = top(&hierarchy, "claimed");
    let name = first.path().to_owned();
    let container = group(&hierarchy, &first, &CgroupPlan::default());
    // The same group, one inside it, and another daemon in the same place.
    let other = Hierarchy::detect().unwrap();
    for path in [name.clone(), name.join("inner")] {
        match TopGroup::create(&other, &path) {
            Err(CgroupError::Claimed { path }) => assert!(path.ends_with(&name)),
            found => panic!("{found:?}"),
        }
    }
    match create(&other, &name.join("guest"), &CgroupPlan::default()) {
        Err(CgroupError::Foreign { path }) => assert!(path.ends_with(&name)),
        found => panic!("{found:?}"),
    }
    assert!(container.processes().unwrap().is_empty());
    assert!(file("pids", &first, "pids.max").exists());
    end(container, first);

    // Inside out, and side by side.
    let inner = TopGroup::create(&hierarchy, &name.join("inner")).unwrap();
    match TopGroup::create(&other, &name) {
        Err(CgroupError::Claimed { path }) => assert!(path.ends_with(&name)),
        found => panic!("{found:?}"),
    }
    let beside = TopGroup::create(&other, &name.join("beside")).unwrap();
    inner.remove().unwrap();
    let name = name.display().to_string();
    assert!(!left_over(&format!("{name}/beside")).is_empty());
    beside.remove().unwrap();
    assert_eq!(left_over(&name), Vec::<PathBuf>::new());
}

#[test]
fn the_own_group_stays_when_its_last_container_ends() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "idle");
    let name = top.path().display().to_string();
    let before = left_over(&name);
    let group = group(&hierarchy, &top, &CgroupPlan::default());
    group.destroy().unwrap();
    assert_eq!(left_over(&name), before);
    top.remove().unwrap();
    assert_eq!(left_over(&name), Vec::<PathBuf>::new());
}

#[test]
fn nobody_without_privileges_can_lock_the_own_group() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "mode");
    for directory in left_over(&top.path().display().to_string()) {
        let mode = fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o044, 0, "{directory:?}");
    }
    top.remove().unwrap();
}

#[test]
fn only_groups_below_the_own_one_are_removed() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "tree");
    let own = top.path().to_owned();
    let beside = PathBuf::from(format!("{}-beside", own.display()));
    for path in [
        own.clone(),
        beside,
        PathBuf::from("/"),
        own.join(".."),
        own.join("../memory"),
    ] {
        match remove_tree(&hierarchy, &own, &path) {
            Err(CgroupError::Path { .. }) => {}
            other => panic!("{path:?}: {other:?}"),
        }
    }
    remove_tree(&hierarchy, &own, &own.join("absent")).unwrap();

    let nested = create(&hierarchy, &own.join("a/b"), &CgroupPlan::default()).unwrap();
    let shell = Shell::new("");
    nested.add(shell.pid()).unwrap();
    remove_tree(&hierarchy, &own, &own.join("a")).unwrap();
    assert_eq!(
        left_over(&format!("{}/a", own.display())),
        Vec::<PathBuf>::new()
    );
    drop(nested);
    let name = own.display().to_string();
    top.remove().unwrap();
    assert_eq!(left_over(&name), Vec::<PathBuf>::new());
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
    assert_eq!(group.off(), [Controller::Pids, Controller::Devices]);
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
    assert_eq!(group.off(), [Controller::Pids]);
    assert!(group.memory_monitor().unwrap().is_none());
    let statistics = group.statistics().unwrap();
    assert_eq!((statistics.memory, statistics.pids), (None, None));
    end(group, top);
}

#[test]
fn the_group_of_a_killed_daemon_is_adopted_and_an_operators_is_kept() {
    let hierarchy = hybrid();
    let first = top(&hierarchy, "adopted");
    let path = first.path().to_owned();
    let name = path.display().to_string();
    let groups = left_over(&name);
    for directory in &groups {
        fs::create_dir(directory.join("container")).unwrap();
    }
    // As after a daemon that was killed: the groups stay, the lock does not.
    drop(first);
    assert_eq!(left_over(&name), groups);
    let second = TopGroup::create(&hierarchy, &path).unwrap();
    second.clear().unwrap();
    assert_eq!(
        left_over(&format!("{name}/container")),
        Vec::<PathBuf>::new()
    );
    second.remove().unwrap();
    assert_eq!(left_over(&name), Vec::<PathBuf>::new());

    let operators = Path::new("/sys/fs/cgroup/pids").join(&path);
    fs::create_dir(&operators).unwrap();
    TopGroup::create(&hierarchy, &path)
        .unwrap()
        .remove()
        .unwrap();
    assert_eq!(left_over(&name), std::slice::from_ref(&operators));
    fs::remove_dir(operators).unwrap();
}

#[test]
fn a_parent_stays_as_long_as_a_container_needs_it() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "parents");
    let parent = top.path().join("parent");
    let made = |name: &str| create(&hierarchy, &parent.join(name), &CgroupPlan::default()).unwrap();
    let (first, second) = (made("first"), made("second"));
    first.destroy().unwrap();
    let name = parent.display().to_string();
    assert!(!left_over(&name).is_empty());
    second.destroy().unwrap();
    assert_eq!(left_over(&name), Vec::<PathBuf>::new());
    top.remove().unwrap();
}
