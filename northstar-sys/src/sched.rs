//! Scheduling of the calling thread: every policy of sched_setattr(2) with its parameters, and the
//! priority of its I/O, ioprio_set(2).

use crate::error::check;
use crate::uapi::{
    SCHED_ATTR_SIZE, SCHED_BATCH, SCHED_DEADLINE, SCHED_FIFO, SCHED_IDLE, SCHED_OTHER, SCHED_RR,
    sched_attr,
};
use crate::{Error, Result};

/// A policy of sched(7) with its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// `SCHED_OTHER`
    Other {
        /// -20 (favoured) to 19
        nice: i32,
    },
    /// `SCHED_BATCH`
    Batch {
        /// -20 (favoured) to 19
        nice: i32,
    },
    /// `SCHED_IDLE`
    Idle,
    /// `SCHED_FIFO`
    Fifo {
        /// 1 to 99 (highest)
        priority: u32,
    },
    /// `SCHED_RR`
    RoundRobin {
        /// 1 to 99 (highest)
        priority: u32,
    },
    /// `SCHED_DEADLINE`; all times in nanoseconds
    Deadline {
        /// Budget per period
        runtime: u64,
        /// Relative deadline
        deadline: u64,
        /// Period
        period: u64,
    },
}

/// Applies `policy` to the calling thread and reads it back.
///
/// # Errors
/// The errno of sched_setattr(2): EPERM without the privilege, EINVAL for parameters out of range,
/// EBUSY when a deadline cannot be admitted. EPROTO when the kernel has another policy afterwards.
pub fn set(policy: Policy) -> Result<()> {
    let attributes = to_uapi(policy);
    // SAFETY: `attributes` is live and carries its own size; pid 0 is the calling thread.
    let returned =
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0u32) };
    check("sched_setattr", returned, || format!("{policy:?}"))?;
    let in_force = get()?;
    if in_force == policy {
        Ok(())
    } else {
        Err(Error::from_errno(
            "sched_getattr",
            format!("{in_force:?}"),
            libc::EPROTO,
        ))
    }
}

/// Reads the policy of the calling thread.
///
/// # Errors
/// The errno of sched_getattr(2); EPROTO for a policy this module does not know.
pub fn get() -> Result<Policy> {
    let mut attributes = sched_attr::default();
    // SAFETY: the kernel writes at most the size given, which is that of `attributes`; it is live
    // and not read until the call is over.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_sched_getattr,
            0,
            &raw mut attributes,
            SCHED_ATTR_SIZE,
            0u32,
        )
    };
    check("sched_getattr", returned, || "calling thread")?;
    from_uapi(&attributes).ok_or_else(|| {
        let policy = attributes.sched_policy;
        Error::from_errno("sched_getattr", format!("policy {policy}"), libc::EPROTO)
    })
}

/// Gives the calling thread the scheduling of a process that nobody has favoured or held back:
/// `SCHED_OTHER` with nice 0, and an I/O priority that follows from it. What is so already is not
/// set.
///
/// # Errors
/// As [`set`], and the errno of ioprio_set(2). EPERM if the thread was held back and has no right to
/// undo that.
pub fn reset() -> Result<()> {
    let ordinary = Policy::Other { nice: 0 };
    // A policy that is not known here is another one.
    if !matches!(get(), Ok(policy) if policy == ordinary) {
        set(ordinary)?;
    }
    if io_priority()? == IO_PRIORITY_NONE {
        return Ok(());
    }
    // SAFETY: takes three numbers; 0 is the calling thread.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_ioprio_set,
            IOPRIO_WHO_PROCESS,
            0,
            IO_PRIORITY_NONE,
        )
    };
    check("ioprio_set", returned, || "none")?;
    match io_priority()? {
        IO_PRIORITY_NONE => Ok(()),
        other => {
            let detail = format!("priority {other:#x}");
            Err(Error::from_errno("ioprio_get", detail, libc::EPROTO))
        }
    }
}

/// `IOPRIO_WHO_PROCESS` and the priority of no class of `linux/ioprio.h`.
const IOPRIO_WHO_PROCESS: libc::c_int = 1;
const IO_PRIORITY_NONE: libc::c_long = 0;

/// The I/O priority that was set for the calling thread; [`IO_PRIORITY_NONE`] if none was.
fn io_priority() -> Result<libc::c_long> {
    /// The class is in the bits from here on. Without one the level means nothing, and kernels show
    /// different ones.
    const CLASS: u32 = 13;
    // SAFETY: takes two numbers; 0 is the calling thread.
    let priority = unsafe { libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0) };
    check("ioprio_get", priority, || "calling thread")?;
    Ok(if priority >> CLASS == 0 {
        IO_PRIORITY_NONE
    } else {
        priority
    })
}

fn to_uapi(policy: Policy) -> sched_attr {
    let base = sched_attr {
        size: SCHED_ATTR_SIZE,
        ..sched_attr::default()
    };
    match policy {
        Policy::Other { nice } => sched_attr {
            sched_policy: SCHED_OTHER,
            sched_nice: nice,
            ..base
        },
        Policy::Batch { nice } => sched_attr {
            sched_policy: SCHED_BATCH,
            sched_nice: nice,
            ..base
        },
        Policy::Idle => sched_attr {
            sched_policy: SCHED_IDLE,
            ..base
        },
        Policy::Fifo { priority } => sched_attr {
            sched_policy: SCHED_FIFO,
            sched_priority: priority,
            ..base
        },
        Policy::RoundRobin { priority } => sched_attr {
            sched_policy: SCHED_RR,
            sched_priority: priority,
            ..base
        },
        Policy::Deadline {
            runtime,
            deadline,
            period,
        } => sched_attr {
            sched_policy: SCHED_DEADLINE,
            sched_runtime: runtime,
            sched_deadline: deadline,
            sched_period: period,
            ..base
        },
    }
}

fn from_uapi(attributes: &sched_attr) -> Option<Policy> {
    match attributes.sched_policy {
        SCHED_OTHER => Some(Policy::Other {
            nice: attributes.sched_nice,
        }),
        SCHED_BATCH => Some(Policy::Batch {
            nice: attributes.sched_nice,
        }),
        SCHED_IDLE => Some(Policy::Idle),
        SCHED_FIFO => Some(Policy::Fifo {
            priority: attributes.sched_priority,
        }),
        SCHED_RR => Some(Policy::RoundRobin {
            priority: attributes.sched_priority,
        }),
        SCHED_DEADLINE => Some(Policy::Deadline {
            runtime: attributes.sched_runtime,
            deadline: attributes.sched_deadline,
            period: attributes.sched_period,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structure_has_the_size_the_kernel_expects() {
        assert_eq!(size_of::<sched_attr>(), SCHED_ATTR_SIZE as usize);
    }

    #[test]
    fn policies_survive_the_kernel_structure() {
        for policy in [
            Policy::Other { nice: -20 },
            Policy::Batch { nice: 19 },
            Policy::Idle,
            Policy::Fifo { priority: 99 },
            Policy::RoundRobin { priority: 1 },
            Policy::Deadline {
                runtime: 1,
                deadline: 2,
                period: 3,
            },
        ] {
            assert_eq!(from_uapi(&to_uapi(policy)), Some(policy));
        }
    }

    #[test]
    fn idle_is_set_and_read_back() {
        // Lowering is allowed to everybody; the change ends with this thread.
        std::thread::spawn(|| {
            set(Policy::Batch { nice: 5 }).unwrap();
            set(Policy::Idle).unwrap();
            assert_eq!(get().unwrap(), Policy::Idle);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn reset_leaves_nothing_of_what_was_set() {
        std::thread::spawn(|| {
            // Held back is what everybody may be; only the I/O priority can be undone by everybody.
            let idle: libc::c_int = 3 << 13;
            // SAFETY: takes three numbers; 0 is the calling thread.
            let returned =
                unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, idle) };
            assert_eq!(returned, 0);
            assert_eq!(io_priority().unwrap(), libc::c_long::from(idle));
            set(Policy::Batch { nice: 0 }).unwrap();
            reset().unwrap();
            assert_eq!(get().unwrap(), Policy::Other { nice: 0 });
            assert_eq!(io_priority().unwrap(), IO_PRIORITY_NONE);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn impossible_priority_is_refused() {
        let error = set(Policy::Fifo { priority: 100 }).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
    }
}
