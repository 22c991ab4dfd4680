//! Limits, events and numbers.

use super::*;

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
        realtime: false,
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
            let shown = ["io.bfq.weight", "io.weight"]
                .map(|name| fs::read_to_string(file(&top, name)).unwrap_or_default());
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
    // One party among those that want processors.
    assert_eq!(content(&top, "cpu.weight"), "100");
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
    let group = group(&hierarchy, &top, &with_memory(memory));
    let mut monitor = group.memory_monitor().unwrap().unwrap();
    let before = monitor.read().unwrap().unwrap();
    assert_eq!(before.oom_kill, 0, "{before:?}");

    let status = run(&group, EXHAUST);
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
    let group = group(&hierarchy, &top, &with_memory(memory));
    let mut innocent = Shell::new("sleep 1000");
    group.add(innocent.pid()).unwrap();
    innocent.go();
    run(&group, EXHAUST);
    let status = innocent.wait();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9)
    );
    end(group, top);
}

#[test]
fn vm_statistics_are_those_of_the_group() {
    let memory = statistics_of_a_busy_shell(&v2());
    assert!(memory.kernel.is_some(), "{memory:?}");
}

#[test]
fn vm_a_fork_bomb_stays_below_the_limit() {
    a_fork_bomb_is_limited(&v2(), "bomb", |top| file(top, "pids.events"));
}
