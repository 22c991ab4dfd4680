//! Kernel structures and numbers that neither `libc` nor `linux-raw-sys` defines on every target,
//! under the kernel's names. Nothing but data: the calls are in the other modules.
#![allow(non_camel_case_types, reason = "the kernel's names")]

/// `struct sched_attr`, first version, sched_setattr(2).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct sched_attr {
    pub(crate) size: u32,
    pub(crate) sched_policy: u32,
    pub(crate) sched_flags: u64,
    pub(crate) sched_nice: i32,
    pub(crate) sched_priority: u32,
    pub(crate) sched_runtime: u64,
    pub(crate) sched_deadline: u64,
    pub(crate) sched_period: u64,
}

/// `SCHED_ATTR_SIZE_VER0`
pub(crate) const SCHED_ATTR_SIZE: u32 = 48;
pub(crate) const SCHED_OTHER: u32 = 0;
pub(crate) const SCHED_FIFO: u32 = 1;
pub(crate) const SCHED_RR: u32 = 2;
pub(crate) const SCHED_BATCH: u32 = 3;
pub(crate) const SCHED_IDLE: u32 = 5;
pub(crate) const SCHED_DEADLINE: u32 = 6;

/// `SECCOMP_SET_MODE_FILTER`, seccomp(2).
pub(crate) const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;
