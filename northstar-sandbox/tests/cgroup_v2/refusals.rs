//! What cannot be applied is an error and leaves nothing.

use super::*;

#[test]
fn vm_limits_of_version_1_are_refused_by_name() {
    let hierarchy = v2();
    let top = top(&hierarchy, "refused");
    let cases = [
        (
            with_memory(MemoryPlan {
                swappiness: Some(10),
                ..Default::default()
            }),
            "memory.swappiness",
            "10",
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
                kernel_tcp_limit: Some(4_096),
                ..Default::default()
            }),
            "memory.kmem.tcp.limit_in_bytes",
            "4096",
        ),
        (
            with_cpu(CpuPlan {
                realtime_runtime: Some(5),
                ..Default::default()
            }),
            "cpu.rt_runtime_us",
            "5",
        ),
        (
            with_cpu(CpuPlan {
                realtime_period: Some(5),
                ..Default::default()
            }),
            "cpu.rt_period_us",
            "5",
        ),
        (
            with_cpu(CpuPlan {
                period: Some(1),
                ..Default::default()
            }),
            "cpu.max",
            "max 1",
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
                cpus: Some("0,900".to_owned()),
                ..Default::default()
            }),
            "cpuset.cpus.effective",
            "0,900",
        ),
    ];
    for (plan, name, expected) in cases {
        let (found, value) = refused(&hierarchy, &top, &plan);
        assert!(
            found == name
                || Path::new(name).starts_with(&found)
                || found.starts_with("cpuset.cpus"),
            "{found}"
        );
        assert_eq!(value, expected);
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
