//! Runs in the payload, after fork. Resource limits and scheduling, each read back.

use northstar_sys::sched::{self, Policy};
use rustix::io::Errno;

use crate::plan::{Rlimit, Sched};
use crate::step::{At, Step, StepError};

/// Applies the limits in the order of the plan.
pub(super) fn apply_rlimits(limits: &[Rlimit]) -> Result<(), StepError> {
    for limit in limits {
        let resource = limit.kind.resource();
        let wanted = rustix::process::Rlimit {
            current: limit.soft,
            maximum: limit.hard,
        };
        rustix::process::setrlimit(resource, wanted).at_detail(Step::Rlimit, limit.kind.name())?;
        if rustix::process::getrlimit(resource) != wanted {
            return Err(Errno::PROTO).at_detail(Step::Rlimit, limit.kind.name());
        }
    }
    Ok(())
}

/// Applies the scheduling policy; the library reads it back.
pub(super) fn apply_sched(wanted: Option<Sched>) -> Result<(), StepError> {
    let policy = match wanted {
        None => return Ok(()),
        Some(Sched::Other { nice }) => Policy::Other { nice },
        Some(Sched::Batch { nice }) => Policy::Batch { nice },
        Some(Sched::Idle) => Policy::Idle,
        Some(Sched::Fifo { priority }) => Policy::Fifo { priority },
        Some(Sched::RoundRobin { priority }) => Policy::RoundRobin { priority },
        Some(Sched::Deadline {
            runtime,
            deadline,
            period,
        }) => Policy::Deadline {
            runtime,
            deadline,
            period,
        },
    };
    sched::set(policy).at(Step::Scheduler)
}
