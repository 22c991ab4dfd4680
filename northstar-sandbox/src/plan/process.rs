//! Limits, scheduling and filters of the payload.

use std::str::FromStr;

use northstar_sys::seccomp::Instruction;
use serde::{Deserialize, Serialize};

/// System calls that run after the last seccomp program is installed: the program is executed,
/// or the reason why not is written to a pipe and the process ends. A set of programs that does
/// not allow these cannot start anything, or cannot say why.
pub const SYSCALLS_AFTER_FILTER: &[&str] = &["execve", "write", "exit_group"];

/// System calls that run between one program and the next when there are several. A program
/// that is not the last must allow these, too.
pub const SYSCALLS_BETWEEN_FILTERS: &[&str] = &["seccomp"];

/// One instruction of a classic BPF program, with the kernel's names (`struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SockFilter {
    /// Operation
    pub code: u16,
    /// Instructions to skip when the comparison holds
    pub jt: u8,
    /// Instructions to skip when it does not
    pub jf: u8,
    /// Operand
    pub k: u32,
}

impl From<Instruction> for SockFilter {
    fn from(instruction: Instruction) -> SockFilter {
        let Instruction { code, jt, jf, k } = instruction;
        SockFilter { code, jt, jf, k }
    }
}

impl From<SockFilter> for Instruction {
    fn from(filter: SockFilter) -> Instruction {
        let SockFilter { code, jt, jf, k } = filter;
        Instruction { code, jt, jf, k }
    }
}

/// A scheduling policy of sched(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sched {
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

/// A limit of setrlimit(2); `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// The resource.
    pub kind: RlimitKind,
    /// The limit in force.
    pub soft: Option<u64>,
    /// How far the process may raise the soft limit.
    pub hard: Option<u64>,
}

/// A name that is no resource of setrlimit(2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown resource limit {0:?}")]
pub struct UnknownRlimit(pub String);

macro_rules! rlimits {
    ($($variant:ident $name:literal,)*) => {
        /// A resource of setrlimit(2).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "the names of setrlimit(2)")]
        pub enum RlimitKind {
            $($variant,)*
        }

        impl RlimitKind {
            /// All sixteen.
            pub const ALL: &[RlimitKind] = &[$(RlimitKind::$variant,)*];

            /// The name of setrlimit(2) without its prefix, in lower case.
            pub fn name(self) -> &'static str {
                match self {
                    $(RlimitKind::$variant => $name,)*
                }
            }

            pub(crate) fn resource(self) -> rustix::process::Resource {
                match self {
                    $(RlimitKind::$variant => rustix::process::Resource::$variant,)*
                }
            }
        }
    };
}

rlimits! {
    As "as",
    Core "core",
    Cpu "cpu",
    Data "data",
    Fsize "fsize",
    Locks "locks",
    Memlock "memlock",
    Msgqueue "msgqueue",
    Nice "nice",
    Nofile "nofile",
    Nproc "nproc",
    Rss "rss",
    Rtprio "rtprio",
    Rttime "rttime",
    Sigpending "sigpending",
    Stack "stack",
}

impl FromStr for RlimitKind {
    type Err = UnknownRlimit;

    fn from_str(name: &str) -> Result<RlimitKind, UnknownRlimit> {
        RlimitKind::ALL
            .iter()
            .copied()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownRlimit(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_is_found_by_its_name() {
        assert_eq!(RlimitKind::ALL.len(), 16);
        for kind in RlimitKind::ALL {
            assert_eq!(kind.name().parse(), Ok(*kind));
        }
        assert_eq!(
            "disk".parse::<RlimitKind>(),
            Err(UnknownRlimit("disk".to_owned()))
        );
    }
}
