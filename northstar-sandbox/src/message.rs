//! The messages between daemon, forker and init: small closed enums, the direction in the type.
//! Which descriptors travel with a message stands beside it.

use serde::{Deserialize, Serialize};

use crate::step::StepError;

/// How a process ended, as wait(2) tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It called exit(2) with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// Daemon to forker.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToForker {
    /// Create an init. Descriptors: init's end of the control socket, the arm plan in a sealed
    /// memory file, with `cgroup` the directory of its control group, then `descriptors` that the
    /// plan names.
    Create {
        id: u64,
        descriptors: u16,
        cgroup: bool,
    },
    /// Answer [`FromForker::Alive`] with the same number.
    Ping(u64),
}

/// Forker to daemon.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FromForker {
    /// The first message: the forker is set up.
    Ready,
    /// The first message: it could not be set up, errno(3).
    SetupFailed { call: String, errno: i32 },
    /// Init exists. Descriptors: its pidfd.
    Created { id: u64, pid: i32 },
    /// Init could not be created.
    CreateFailed { id: u64, error: StepError },
    /// Init ended and was reaped.
    Exited { id: u64, status: ExitStatus },
    /// The answer to [`ToForker::Ping`].
    Alive(u64),
}

/// Daemon to init.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToInit {
    /// Run the payload. Descriptors: the exec plan in a sealed memory file, then `descriptors`
    /// that the plan names, then `cgroups` files to join control groups of version 1 by.
    Go { descriptors: u16, cgroups: u16 },
    /// Send a signal to the payload's process group.
    Signal(i32),
}

/// Init to daemon. From an init that serves a hostile container every word of it is a claim.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FromInit {
    /// Everything is mounted; init waits for [`ToInit::Go`].
    Armed,
    /// The program was executed; its process id in the container.
    Running { pid: i32 },
    /// A step failed; init ends.
    Failed(StepError),
    /// The payload ended; init ends.
    Exited(ExitStatus),
    /// A signal could not be sent, errno(3).
    SignalFailed { signal: i32, errno: i32 },
}
