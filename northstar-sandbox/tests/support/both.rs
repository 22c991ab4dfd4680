//! What holds on every version.

use super::{Shell, end, eventually, group, left_over, top};
use northstar_sandbox::cgroup::{
    CgroupError, CgroupPlan, CpuPlan, Hierarchy, MemoryPlan, MemoryStatistics, TopGroup, create,
};
use std::fs;
use std::path::PathBuf;

/// A script that needs 64 MB: tail keeps the one line, which is too long.
pub const EXHAUST: &str = "head -c 64000000 /dev/zero | tail -c 64000000 >/dev/null";

pub fn with_memory(memory: MemoryPlan) -> CgroupPlan {
    CgroupPlan {
        memory,
        ..CgroupPlan::default()
    }
}

pub fn with_cpu(cpu: CpuPlan) -> CgroupPlan {
    CgroupPlan {
        cpu,
        ..CgroupPlan::default()
    }
}

/// Any block device of this machine, for throttles.
pub fn block_device() -> (u64, u64) {
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

/// The file that could not be set, and to what, of a plan that cannot be applied. It leaves no group.
pub fn refused(hierarchy: &Hierarchy, top: &TopGroup, plan: &CgroupPlan) -> (String, String) {
    let path = top.path().join("container");
    let refused = match create(hierarchy, &path, plan) {
        Err(
            CgroupError::Write { file, value, .. }
            | CgroupError::Missing { file, value }
            | CgroupError::Mismatch { file, value, .. },
        ) => {
            let name = file.file_name().unwrap().to_str().unwrap();
            (name.to_owned(), value)
        }
        other => panic!("{plan:?}: {other:?}"),
    };
    let left = left_over(&path.display().to_string());
    assert_eq!(left, Vec::<PathBuf>::new(), "{refused:?}");
    refused
}

/// A group in which a shell is busy has numbers of everything. Returns those of its memory.
pub fn statistics_of_a_busy_shell(hierarchy: &Hierarchy) -> MemoryStatistics {
    let top = top(hierarchy, "statistics");
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
    let group = group(hierarchy, &top, &plan);
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
    assert!(memory.anon.is_some() && memory.file.is_some(), "{memory:?}");
    assert_eq!((pids.current, pids.max), (1, Some(7)));
    assert!(statistics.io.is_some());
    assert_eq!(
        group.processes().unwrap().into_iter().collect::<Vec<_>>(),
        [shell.pid()]
    );
    end(group, top);
    memory
}

/// Processes without end, in a group of at most 20. `events` is where the kernel counts what it has refused.
pub fn a_fork_bomb_is_limited(
    hierarchy: &Hierarchy,
    name: &str,
    events: impl Fn(&TopGroup) -> PathBuf,
) {
    let top = top(hierarchy, name);
    let plan = CgroupPlan {
        pids: Some(20),
        ..CgroupPlan::default()
    };
    let group = group(hierarchy, &top, &plan);
    let mut shell = Shell::new("bomb() { bomb | bomb & }; while :; do bomb; done");
    group.add(shell.pid()).unwrap();
    shell.go();
    let events = events(&top);
    eventually("the limit was hit", || {
        fs::read_to_string(&events).unwrap().trim() != "max 0"
    });
    let pids = group.statistics().unwrap().pids.unwrap();
    assert!(pids.current <= 20, "{pids:?}");
    end(group, top);
}
