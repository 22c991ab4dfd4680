//! Seccomp: turns a container's allow-list into filter programs.
//!
//! What a compiled filter answers:
//!
//! | call | answer |
//! |---|---|
//! | on the list, arguments fit | allowed |
//! | on the list, arguments do not fit | `EPERM` |
//! | known, not on the list | `EPERM` |
//! | `clone3`, not on the list | `ENOSYS`, so that libc falls back to `clone` |
//! | unknown number, newer than the table, or of the x32 ABI | `ENOSYS` |
//! | any call of a foreign ABI (i386, 32-bit ARM) | the process is killed |
//!
//! The programs are plain instructions. They are installed in order, each one
//! after `no_new_privs`, as the last thing before `execve`.

mod arch;
pub mod capability;
mod compile;
mod condition;
mod error;
pub mod profile;

pub use arch::Arch;
pub use compile::{AFTER_FILTER, compile};
pub use condition::{Check, Conditional, MAX_VALUES};
pub use error::SeccompError;

use crate::plan::SockFilter;
use caps::Capability;
use std::collections::BTreeMap;

/// What a container may call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct SeccompSpec {
    /// The list to start from; without one `allow` is the whole list.
    pub profile: Option<Profile>,
    /// Calls by name that are allowed in addition to the profile.
    pub allow: BTreeMap<String, Rule>,
    /// The container's capabilities: each adds its calls to the profile. They
    /// add nothing to an `allow` without a profile.
    pub capabilities: Vec<Capability>,
}

/// A predefined list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// See [`profile`].
    Default,
}

/// For which arguments a call is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Rule {
    /// For any; wins over every other rule for the same call.
    Any,
    /// If the full 64-bit argument is one of `values`, or `mask` is given and
    /// the argument has no bit outside of it.
    Args {
        /// Which argument, 0 to 5.
        index: u8,
        /// Accepted values, at most [`MAX_VALUES`].
        values: Vec<u64>,
        /// Accepted bits.
        mask: Option<u64>,
    },
}

/// One filter, ready for `seccomp(2)`.
pub type Program = Vec<SockFilter>;

#[cfg(test)]
pub(crate) mod tests;
