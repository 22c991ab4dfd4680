//! What the server tells without being asked.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Container;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notification {
    /// A control group reports something.
    CGroup(Container, CGroupNotification),
    /// A container has ended.
    Exit(Container, ExitStatus),
    /// A container was installed.
    Install(Container),
    /// The daemon ends.
    Shutdown,
    /// A container was started.
    Started(Container),
    /// A container was uninstalled.
    Uninstall(Container),
}

/// What a control group reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CGroupNotification {
    /// Memory events.
    Memory(MemoryNotification),
}

/// Counters of `memory.events` (cgroups(7)); `None` if the kernel has no such counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryNotification {
    /// Reclaims below the low boundary.
    pub low: Option<u64>,
    /// Throttlings at the high boundary.
    pub high: Option<u64>,
    /// Times the limit was about to be exceeded.
    pub max: Option<u64>,
    /// Times the limit was reached and allocation was about to fail.
    pub oom: Option<u64>,
    /// Processes killed.
    pub oom_kill: Option<u64>,
}

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// The program exited.
    Exit {
        /// Exit code, 0 to 255.
        code: i32,
    },
    /// The program was killed by a signal.
    Signalled {
        /// Number of the signal.
        signal: u32,
    },
}

impl ExitStatus {
    /// Whether the program exited with 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == ExitStatus::Exit { code: 0 }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitStatus::Exit { code } => write!(f, "exit code {code}"),
            ExitStatus::Signalled { signal } => write!(f, "signal {signal}"),
        }
    }
}
