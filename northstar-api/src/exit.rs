//! How and why a container ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// The end of a container: how, and under the extension `details` why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(from = "Wire", into = "Wire")]
#[cfg_attr(feature = "schema", schemars(with = "Wire"))]
pub struct Exit {
    /// How it ended.
    pub status: ExitStatus,
    /// Why, as far as the daemon knows. `None` without the extension `details`.
    pub reason: Option<ExitReason>,
    /// The signal that was asked for, with [`ExitReason::KilledByRequest`].
    pub requested_signal: Option<i32>,
}

/// Why a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// The program ended by itself.
    OwnExit,
    /// A signal that nobody asked the daemon for: a crash, or a kill from inside or from the host.
    OwnSignal,
    /// A client asked for it with `kill`.
    KilledByRequest,
    /// The kernel had no memory for it.
    OomKilled,
    /// The daemon ends.
    Shutdown,
    /// The container's init ended without a word about the program.
    InitDied,
}

impl ExitReason {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ExitReason::OwnExit => "own_exit",
            ExitReason::OwnSignal => "own_signal",
            ExitReason::KilledByRequest => "killed_by_request",
            ExitReason::OomKilled => "oom_killed",
            ExitReason::Shutdown => "shutdown",
            ExitReason::InitDied => "init_died",
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Exit {
        Exit {
            status,
            reason: None,
            requested_signal: None,
        }
    }
}

impl Exit {
    /// Whether the program exited with 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self.status.is_success()
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)
    }
}

/// The reason stands inside the object of the status, where a 0.9.2 client skips what it does not know.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum Wire {
    /// The program exited.
    Exit {
        /// Exit code, 0 to 255.
        code: i32,
        #[serde(flatten)]
        why: Why,
    },
    /// The program was killed by a signal.
    Signalled {
        /// Number of the signal.
        signal: u32,
        #[serde(flatten)]
        why: Why,
    },
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Why {
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<ExitReason>,
    /// The signal that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requested_signal: Option<i32>,
}

impl From<Wire> for Exit {
    fn from(wire: Wire) -> Exit {
        let (status, why) = match wire {
            Wire::Exit { code, why } => (ExitStatus::Exit { code }, why),
            Wire::Signalled { signal, why } => (ExitStatus::Signalled { signal }, why),
        };
        Exit {
            status,
            reason: why.reason,
            requested_signal: why.requested_signal,
        }
    }
}

impl From<Exit> for Wire {
    fn from(exit: Exit) -> Wire {
        let why = Why {
            reason: exit.reason,
            requested_signal: exit.requested_signal,
        };
        match exit.status {
            ExitStatus::Exit { code } => Wire::Exit { code, why },
            ExitStatus::Signalled { signal } => Wire::Signalled { signal, why },
        }
    }
}
