//! Safe wrappers for the Linux system calls that `nix`, `rustix` and `libc` do not offer safely.
//!
//! This is the only crate of the workspace that may contain unsafe code. Every module is small:
//! one safe function per call, its invariant in a SAFETY comment, the kernel's structures apart in
//! `uapi`. Policy never lives here: what to call, and in which order, is the callers' business.
//!
//! Every failure is an [`Error`]: the name of the call, its key arguments and the kernel's errno.

#[cfg(feature = "attempt")]
pub mod attempt;
pub mod bpf;
pub mod capability;
pub mod device_mapper;
mod error;
pub mod exec;
pub mod fd;
pub mod loop_device;
pub mod memfd;
pub mod mount;
pub mod process;
pub mod sched;
pub mod seccomp;
pub mod seqpacket;
pub mod signal;
mod uapi;
pub mod writeback;

pub use error::{Error, Result};
