//! Third phase: the control group, with all its limits in force before anything is in it.

use super::{
    Context, Error,
    plan::{Attachments, Descriptors, GroupPlan, Planned},
};
use crate::{
    repository::InstalledPackage,
    supervisor::{MemoryEvents, Statistics},
};
use northstar_sandbox::{
    cgroup::{self, Cgroup, CgroupError, MemoryMonitor},
    plan::{ArmPlan, ExecPlan},
};
use std::sync::{Arc, PoisonError, RwLock};

/// A launch whose control group exists.
#[derive(Debug)]
pub(super) struct Confined {
    pub(super) package: Arc<InstalledPackage>,
    pub(super) skipped: Vec<String>,
    pub(super) arm: (ArmPlan, Descriptors),
    pub(super) exec: (ExecPlan, Descriptors),
    pub(super) guards: Guards,
}

/// What is left to clean up after the process is gone.
#[derive(Debug)]
pub(super) struct Guards {
    pub(super) group: Arc<Group>,
    pub(super) memory: Option<MemoryMonitor>,
    pub(super) attachments: Attachments,
}

/// Makes the control group. Blocks.
pub(super) fn confine(context: &Context, planned: Planned) -> Result<Confined, Error> {
    let Planned {
        package,
        skipped,
        arm,
        exec,
        cgroup,
        attachments,
    } = planned;
    let GroupPlan {
        path,
        limits,
        monitor_memory,
    } = cgroup;
    let cgroup = cgroup::create(&context.hierarchy, &path, &limits).map_err(Error::Cgroup)?;
    let memory = if monitor_memory {
        cgroup.memory_monitor().map_err(Error::Cgroup)?
    } else {
        None
    };
    let group = Arc::new(Group(RwLock::new(Some(cgroup))));
    let guards = Guards {
        group,
        memory,
        attachments,
    };
    Ok(Confined {
        package,
        skipped,
        arm,
        exec,
        guards,
    })
}

/// The control group, shared with whoever reads its numbers. `None`: it is removed.
#[derive(Debug)]
pub(super) struct Group(RwLock<Option<Cgroup>>);

impl Group {
    /// Moves a process into the group.
    pub(super) fn add(&self, pid: i32) -> Result<(), Error> {
        // Nothing panics while it holds the lock.
        let group = self.0.read().unwrap_or_else(PoisonError::into_inner);
        group
            .as_ref()
            .map_or(Ok(()), |group| group.add(pid))
            .map_err(Error::Cgroup)
    }

    /// What the group uses; what cannot be read is not there.
    pub(super) fn statistics(&self) -> Statistics {
        let group = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(group) = group.as_ref() else {
            return Statistics::default();
        };
        let usage = group.statistics().unwrap_or_default();
        let events = group.memory_events().ok().flatten();
        Statistics {
            cpu_usage_us: usage.cpu.map(|cpu| cpu.usage_usec),
            memory_bytes: usage.memory.as_ref().map(|memory| memory.current),
            memory_peak_bytes: usage.memory.as_ref().and_then(|memory| memory.peak),
            pids: usage.pids.map(|pids| pids.current),
            memory_events: events.map_or_else(MemoryEvents::default, |events| MemoryEvents {
                low: Some(events.low),
                high: Some(events.high),
                max: Some(events.max),
                oom: Some(events.oom),
                oom_kill: Some(events.oom_kill),
            }),
        }
    }

    /// Kills what is left in the group and removes it. Blocks, for a while if something does not die.
    pub(super) fn remove(&self) -> Result<(), CgroupError> {
        let group = self
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(group) = group else { return Ok(()) };
        let killed = group.kill();
        killed.and(group.destroy())
    }
}
