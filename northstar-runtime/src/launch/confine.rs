//! Third phase, one half: the control group, with all its limits in force before anything is in it.

use super::{Context, Error, Phase, plan::GroupPlan};
use crate::supervisor::{MemoryEvents, Statistics, report};
use northstar_sandbox::cgroup::{self, Cgroup, CgroupError, MemoryMonitor};
use std::sync::{PoisonError, RwLock};
use tracing::warn;

/// The control group, shared with whoever reads its numbers. `None`: it is not there yet, or not any more.
#[derive(Debug, Default)]
pub(super) struct Group(RwLock<Option<Cgroup>>);

impl Group {
    /// Makes the group and, if memory events are to be told, what watches for them. Blocks.
    pub(super) fn make(
        &self,
        context: &Context,
        plan: &GroupPlan,
    ) -> Result<Option<MemoryMonitor>, Error> {
        let group = cgroup::create(&context.hierarchy, &plan.path, &plan.limits);
        let group = group.map_err(Error::Cgroup)?;
        let monitor = if plan.monitor_memory {
            group.memory_monitor().map_err(Error::Cgroup)?
        } else {
            None
        };
        // Nothing panics while it holds the lock.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(group);
        Ok(monitor)
    }

    /// Moves init into the group, by its process id.
    ///
    /// The id of an init that dies meanwhile may become another process's, which would then be in the group and be
    /// killed with it. If `is_alive` says that init is dead, whatever is in the group is let out again.
    pub(super) fn add(&self, pid: i32, is_alive: impl FnOnce() -> bool) -> Result<(), Error> {
        let mut place = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(group) = place.as_ref() else {
            return Ok(());
        };
        let added = group.add(pid).map_err(Error::Cgroup);
        if is_alive() {
            return added;
        }
        let died = Error::InitDied { phase: Phase::Arm };
        if let Err(error) = group.expel() {
            warn!("{}", report(&error));
            // A group that is let go of is not killed, only removed if it is empty.
            *place = None;
        }
        Err(died)
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

#[cfg(test)]
mod tests {
    use super::*;
    use northstar_sandbox::cgroup::{CgroupPlan, Hierarchy, TopGroup};
    use std::{
        path::Path,
        process::{Child, Command, Stdio},
    };

    /// A process that ends with 7 as soon as its input ends, and a group.
    fn process_and_group(name: &str) -> (Child, TopGroup, Group) {
        let child = Command::new("/bin/sh")
            .args(["-c", "read go; exit 7"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let hierarchy = Hierarchy::detect().unwrap();
        let top = format!("northstar-test-{}-{name}", std::process::id());
        let top = TopGroup::create(&hierarchy, Path::new(&top)).unwrap();
        let path = top.path().join("app");
        let group = cgroup::create(&hierarchy, &path, &CgroupPlan::default()).unwrap();
        (child, top, Group(RwLock::new(Some(group))))
    }

    fn processes(group: &Group) -> Vec<i32> {
        let group = group.0.read().unwrap();
        let processes = group.as_ref().unwrap().processes().unwrap();
        processes.into_iter().collect()
    }

    #[test]
    fn stranger_with_the_id_of_a_dead_init_is_not_killed_with_the_group() {
        let (mut stranger, top, group) = process_and_group("stranger");
        let pid = stranger.id().try_into().unwrap();
        match group.add(pid, || false) {
            Err(Error::InitDied { phase: Phase::Arm }) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(processes(&group), Vec::<i32>::new());
        group.remove().unwrap();
        top.remove().unwrap();
        drop(stranger.stdin.take());
        assert_eq!(stranger.wait().unwrap().code(), Some(7));
    }

    #[test]
    fn living_init_stays_in_the_group() {
        let (mut init, top, group) = process_and_group("init");
        let pid = init.id().try_into().unwrap();
        group.add(pid, || true).unwrap();
        assert_eq!(processes(&group), [pid]);
        group.remove().unwrap();
        top.remove().unwrap();
        assert_eq!(init.wait().unwrap().code(), None);
    }
}
