//! Limits and what happens at them.

use super::*;

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
            realtime: false,
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
    // One party among those that want processors, whoever else is in the tree.
    assert_eq!(content("cpu", &top, "cpu.shares"), "1024");
    assert_eq!(group.off(), []);
    let mut shell = Shell::new("");
    group.add(shell.pid()).unwrap();
    assert!(is_in_cpu_group(&shell, &top));
    shell.go();
    shell.wait();
    // Deadlines are none of the group's business.
    let deadline = "chrt --deadline --sched-runtime 1000000 --sched-period 100000000 0 true";
    assert!(run(&group, deadline).success());
    end(group, top);
}

/// Whether a process is in the container's group of the cpu controller.
fn is_in_cpu_group(shell: &Shell, top: &TopGroup) -> bool {
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", shell.pid())).unwrap();
    let path = format!("/{}/container", top.path().display());
    groups.lines().any(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let controllers = fields.next().unwrap();
        controllers.split(',').any(|name| name == "cpu") && fields.next() == Some(&path)
    })
}

/// Where a cpu group without realtime time forbids realtime policies, none is made for who may take one.
#[test]
fn realtime_stays_possible_where_it_is_asked_for() {
    for (name, hierarchy) in [("rt-v1", v1()), ("rt-hybrid", hybrid())] {
        let top = top(&hierarchy, name);
        let forbids = Path::new("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists();
        for realtime in [true, false] {
            let plan = CgroupPlan {
                realtime,
                ..CgroupPlan::default()
            };
            let group = group(&hierarchy, &top, &plan);
            let grouped = !(realtime && forbids);
            assert_eq!(group.off(), [], "{realtime}");
            let mut shell = Shell::new("chrt --fifo 1 true");
            group.add(shell.pid()).unwrap();
            assert_eq!(is_in_cpu_group(&shell, &top), grouped, "{realtime}");
            shell.go();
            let allowed = realtime || !forbids;
            assert_eq!(shell.wait().success(), allowed, "{realtime}");
            group.destroy().unwrap();
        }
        top.remove().unwrap();
    }
}

#[test]
fn every_negative_limit_is_none() {
    let hierarchy = v1();
    let top = top(&hierarchy, "unlimited");
    for negative in [-1, -5, i64::MIN] {
        let plan = CgroupPlan {
            memory: MemoryPlan {
                hard_limit: Some(negative),
                soft_limit: Some(negative),
                swap_limit: Some(negative),
                kernel_tcp_limit: Some(negative),
                ..MemoryPlan::default()
            },
            cpu: CpuPlan {
                quota: Some(negative),
                ..CpuPlan::default()
            },
            ..CgroupPlan::default()
        };
        let group = group(&hierarchy, &top, &plan);
        assert_eq!(group.statistics().unwrap().memory.unwrap().max, None);
        assert_eq!(content("cpu", &top, "cpu.cfs_quota_us"), "-1");
        group.destroy().unwrap();
    }
    top.remove().unwrap();
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
fn a_fork_bomb_stays_below_the_limit() {
    for (name, hierarchy) in [("bomb-v1", v1()), ("bomb-hybrid", hybrid())] {
        a_fork_bomb_is_limited(&hierarchy, name, |top| file("pids", top, "pids.events"));
    }
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
fn running_out_of_memory_is_an_event() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "oom");
    let memory = MemoryPlan {
        hard_limit: Some(16 << 20),
        ..MemoryPlan::default()
    };
    let group = group(&hierarchy, &top, &with_memory(memory));
    let mut monitor = group.memory_monitor().unwrap().unwrap();
    assert_eq!(monitor.read().unwrap().unwrap().oom_kill, 0);

    let status = run(&group, EXHAUST);
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
    let memory = statistics_of_a_busy_shell(&hybrid());
    assert!(memory.peak.unwrap() >= memory.current, "{memory:?}");
}
