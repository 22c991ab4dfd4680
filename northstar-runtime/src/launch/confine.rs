//! Third phase, one half: the control group, with all its limits in force before anything is in it.

use super::{Context, Error, plan::GroupPlan};
use crate::supervisor::{MemoryEvents, Statistics};
use northstar_sandbox::{
    Step, StepError,
    cgroup::{self, Cgroup, CgroupError, Controller, Entrance, MemoryMonitor},
};
use std::sync::{PoisonError, RwLock};

/// The control group, shared with whoever reads its numbers. `None`: it is not there yet, or not any more.
#[derive(Debug, Default)]
pub(super) struct Group(RwLock<Option<Cgroup>>);

impl Group {
    /// Makes the group, without limits, and returns the ways into it. Blocks.
    pub(super) fn make(&self, context: &Context, plan: &GroupPlan) -> Result<Entrance, Error> {
        let group = cgroup::make(&context.hierarchy, &plan.path, &plan.limits);
        let group = group.map_err(Error::Cgroup)?;
        let entrance = group.entrance().map_err(Error::Cgroup)?;
        // Nothing panics while it holds the lock.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(group);
        Ok(entrance)
    }

    /// Sets all limits but the devices. Returns, if memory events are to be told, what watches for them. Blocks.
    pub(super) fn limit(
        &self,
        context: &Context,
        plan: &GroupPlan,
    ) -> Result<Option<MemoryMonitor>, Error> {
        let place = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(group) = place.as_ref() else {
            return Ok(None);
        };
        let limited = group.limit(&context.hierarchy, &plan.limits);
        limited.map_err(Error::Cgroup)?;
        if plan.monitor_memory {
            group.memory_monitor().map_err(Error::Cgroup)
        } else {
            Ok(None)
        }
    }

    /// The last limit: init has made its device nodes. Returns the controllers whose defaults are not in force.
    pub(super) fn deny_devices(&self, plan: &GroupPlan) -> Result<Vec<Controller>, Error> {
        let mut place = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(group) = place.as_mut() else {
            return Ok(Vec::new());
        };
        let denied = group.deny_devices(&plan.limits.devices);
        denied.map_err(Error::Cgroup)?;
        Ok(group.off().to_vec())
    }

    /// What made a start fail, if it was the limit on memory: a process that it kills says nothing, and one that gets
    /// none does not know why.
    pub(super) fn explain(&self, first: Error) -> Error {
        let place = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let events = place.as_ref().map(Cgroup::memory_events);
        let Some(Ok(Some(events))) = events else {
            return first;
        };
        let by_the_limit = match &first {
            Error::InitDied { .. } => events.oom_kill > 0,
            Error::Step(StepError { step, errno, .. }) => match *errno {
                nix::libc::EINTR => *step == Step::Execve && events.oom_kill > 0,
                nix::libc::ENOMEM => events.max > 0,
                _ => false,
            },
            _ => false,
        };
        if by_the_limit {
            Error::Memory(Box::new(first))
        } else {
            first
        }
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
