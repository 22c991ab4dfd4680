//! Limits of version 2, on a machine that has its controllers: the VM tier.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod support;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use northstar_sandbox::cgroup::{
    CgroupError, CgroupPlan, CpuPlan, DevicesPlan, Hierarchy, IoPlan, MemoryPlan, Throttle,
    TopGroup, Version, create,
};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use support::{Shell, end, eventually, group, left_over, run, top};

/// The hierarchy of a machine with all controllers on version 2.
fn v2() -> Hierarchy {
    let hierarchy = Hierarchy::detect().unwrap();
    assert_eq!(
        hierarchy.version(),
        Version::V2,
        "this test needs a machine with control groups of version 2 only"
    );
    assert_eq!(
        hierarchy.missing(),
        [],
        "this test needs these controllers on version 2, too"
    );
    hierarchy
}

fn root() -> PathBuf {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mountinfo
        .lines()
        .find(|line| line.contains(" - cgroup2 "))
        .unwrap();
    PathBuf::from(mount.split(' ').nth(4).unwrap())
}

fn content(top: &TopGroup, name: &str) -> String {
    fs::read_to_string(root().join(top.path()).join("container").join(name))
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
fn vm_limits_are_in_force() {
    let hierarchy = v2();
    let top = top(&hierarchy, "limits");
    let (major, minor) = block_device();
    let throttle = |rate| vec![Throttle { major, minor, rate }];
    let plan = CgroupPlan {
        memory: MemoryPlan {
            hard_limit: Some(64 << 20),
            soft_limit: Some(32 << 20),
            swap_limit: Some(80 << 20),
            oom_group: Some(true),
            attributes: BTreeMap::from([("memory.high".to_owned(), "60000000".to_owned())]),
            ..MemoryPlan::default()
        },
        cpu: CpuPlan {
            shares: Some(1_024),
            quota: Some(20_000),
            period: Some(50_000),
            cpus: Some("0".to_owned()),
            mems: Some("0".to_owned()),
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
        devices: DevicesPlan {
            rules: Vec::new(),
            required: true,
        },
    };
    let group = group(&hierarchy, &top, &plan);
    for (name, expected) in [
        ("memory.max", "67108864"),
        ("memory.low", "33554432"),
        ("memory.swap.max", "16777216"),
        ("memory.oom.group", "1"),
        ("memory.high", "59998208"),
        ("cpu.weight", "39"),
        ("cpu.max", "20000 50000"),
        ("cpuset.cpus", "0"),
        ("cpuset.mems", "0"),
        ("pids.max", "32"),
        (
            "io.max",
            &format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=100 wiops=200"),
        ),
    ] {
        assert_eq!(content(&top, name), expected, "{name}");
    }
    assert_eq!(group.off(), []);
    end(group, top);
}

#[test]
fn vm_weight_of_block_devices_is_applied() {
    let hierarchy = v2();
    let top = top(&hierarchy, "weight");
    let io = IoPlan {
        weight: Some(500),
        ..IoPlan::default()
    };
    let result = create(
        &hierarchy,
        &top.path().join("container"),
        &CgroupPlan {
            io,
            ..CgroupPlan::default()
        },
    );
    // Which policies there are depends on the kernel; with none it is refused.
    match result {
        Ok(group) => {
            let shown = ["io.bfq.weight", "io.weight"].map(|name| {
                fs::read_to_string(root().join(top.path()).join("container").join(name))
                    .unwrap_or_default()
            });
            let shown = shown.join("\n");
            assert!(
                shown
                    .lines()
                    .any(|line| line == "default 500" || line == "default 4950" || line == "500"),
                "{shown}"
            );
            end(group, top);
        }
        Err(CgroupError::Missing { file, value }) => {
            assert_eq!(
                (file.file_name().unwrap(), value.as_str()),
                ("io.weight".as_ref(), "default 4950")
            );
            top.remove().unwrap();
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn vm_an_absent_plan_still_limits_processes() {
    let hierarchy = v2();
    let top = top(&hierarchy, "defaults");
    let group = group(&hierarchy, &top, &CgroupPlan::default());
    assert_eq!(content(&top, "pids.max"), "1024");
    assert_eq!(group.off(), []);
    end(group, top);
}

#[test]
fn vm_running_out_of_memory_is_an_event() {
    let hierarchy = v2();
    let top = top(&hierarchy, "oom");
    let memory = MemoryPlan {
        hard_limit: Some(16 << 20),
        swap_limit: Some(16 << 20),
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
    let before = monitor.read().unwrap().unwrap();
    assert_eq!(before.oom_kill, 0, "{before:?}");

    let status = run(
        &group,
        "head -c 64000000 /dev/zero | tail -c 64000000 >/dev/null",
    );
    assert!(!status.success(), "{status:?}");
    let mut poll_fd = [PollFd::new(monitor.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut poll_fd, PollTimeout::from(10_000u16)).unwrap(), 1);
    let mut events = before;
    eventually("the kill is counted", || {
        events = monitor.read().unwrap().unwrap();
        events.oom_kill > 0
    });
    assert!(events.oom >= 1 && events.max >= 1, "{events:?}");
    assert_eq!(group.memory_events().unwrap().unwrap(), events);

    end(group, top);
    assert_eq!(monitor.read().unwrap(), None);
}

#[test]
fn vm_out_of_memory_kills_the_group_as_a_whole() {
    let hierarchy = v2();
    let top = top(&hierarchy, "oom-group");
    let memory = MemoryPlan {
        hard_limit: Some(16 << 20),
        swap_limit: Some(16 << 20),
        oom_group: Some(true),
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
    let mut innocent = Shell::new("sleep 1000");
    group.add(innocent.pid()).unwrap();
    innocent.go();
    run(
        &group,
        "head -c 64000000 /dev/zero | tail -c 64000000 >/dev/null",
    );
    let status = innocent.wait();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9)
    );
    end(group, top);
}

#[test]
fn vm_statistics_are_those_of_the_group() {
    let hierarchy = v2();
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
        memory.anon.is_some() && memory.file.is_some() && memory.kernel.is_some(),
        "{memory:?}"
    );
    assert_eq!((pids.current, pids.max), (1, Some(7)));
    assert!(statistics.io.is_some());
    end(group, top);
}

#[test]
fn vm_a_fork_bomb_stays_below_the_limit() {
    let hierarchy = v2();
    let top = top(&hierarchy, "bomb");
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
    eventually("the limit was hit", || {
        content(&top, "pids.events") != "max 0"
    });
    let pids = group.statistics().unwrap().pids.unwrap();
    assert!(pids.current <= 20, "{pids:?}");
    end(group, top);
}

#[test]
fn vm_limits_of_version_1_are_refused_by_name() {
    let hierarchy = v2();
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
                swappiness: Some(10),
                ..Default::default()
            }),
            "memory.swappiness",
            "10",
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
                kernel_tcp_limit: Some(4_096),
                ..Default::default()
            }),
            "memory.kmem.tcp.limit_in_bytes",
            "4096",
        ),
        (
            cpu(CpuPlan {
                realtime_runtime: Some(5),
                ..Default::default()
            }),
            "cpu.rt_runtime_us",
            "5",
        ),
        (
            cpu(CpuPlan {
                realtime_period: Some(5),
                ..Default::default()
            }),
            "cpu.rt_period_us",
            "5",
        ),
        (
            cpu(CpuPlan {
                period: Some(1),
                ..Default::default()
            }),
            "cpu.max",
            "max 1",
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
                cpus: Some("0,900".to_owned()),
                ..Default::default()
            }),
            "cpuset.cpus.effective",
            "0,900",
        ),
    ];
    for (plan, name, expected) in cases {
        match create(&hierarchy, &top.path().join("container"), &plan) {
            Err(
                CgroupError::Write { file, value, .. }
                | CgroupError::Missing { file, value }
                | CgroupError::Mismatch { file, value, .. },
            ) => {
                let found = file.file_name().unwrap().to_str().unwrap();
                assert!(
                    found == name
                        || Path::new(name).starts_with(found)
                        || found.starts_with("cpuset.cpus"),
                    "{found}"
                );
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
fn vm_controllers_are_enabled_along_the_path() {
    let hierarchy = v2();
    let top = top(&hierarchy, "path");
    let path = top.path().join("a/b/container");
    let group = create(
        &hierarchy,
        &path,
        &CgroupPlan {
            pids: Some(9),
            ..CgroupPlan::default()
        },
    )
    .unwrap();
    for parent in ["", "a", "a/b"] {
        let enabled = fs::read_to_string(
            root()
                .join(top.path())
                .join(parent)
                .join("cgroup.subtree_control"),
        )
        .unwrap();
        for controller in ["cpu", "io", "memory", "pids"] {
            assert!(
                enabled.split_whitespace().any(|name| name == controller),
                "{parent}: {enabled}"
            );
        }
    }
    assert_eq!(
        fs::read_to_string(root().join(&path).join("pids.max"))
            .unwrap()
            .trim(),
        "9"
    );
    group.destroy().unwrap();
    assert!(!root().join(top.path()).join("a").exists());
    top.remove().unwrap();
}

#[test]
fn vm_a_parent_with_processes_is_an_error() {
    let hierarchy = v2();
    let top = top(&hierarchy, "internal");
    let shell = Shell::new("");
    fs::write(
        root().join(top.path()).join("cgroup.procs"),
        shell.pid().to_string(),
    )
    .unwrap();
    let plan = CgroupPlan {
        pids: Some(9),
        ..CgroupPlan::default()
    };
    match create(&hierarchy, &top.path().join("container"), &plan) {
        Err(CgroupError::InUse { path, pids }) => {
            assert_eq!((path, pids), (root().join(top.path()), vec![shell.pid()]));
        }
        other => panic!("{other:?}"),
    }
    drop(shell);
    top.remove().unwrap();
}
