//! The daemon's end of the socket to one init.
//!
//! What comes out of it is the word of a process that serves a container: it is decoded within
//! fixed limits and believed for that container only. After an error the container is to be
//! killed through the pidfd of its init.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use northstar_sys::seqpacket::Wait;
use tracing::warn;

use crate::ipc::{self, ReceiveError, SendError};
use crate::message::{ExitStatus, FromInit, ToInit};
use crate::plan::ExecPlan;
use crate::step::StepError;

/// The daemon's end of the socket to one init. Closing it ends the container.
#[derive(Debug)]
pub struct Control {
    socket: OwnedFd,
}

/// What an init tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitEvent {
    /// The world is built; init waits for [`Control::go`].
    Armed,
    /// The program was executed.
    Running {
        /// Its process id in the container.
        pid: i32,
    },
    /// A step failed; the container is gone.
    Failed(StepError),
    /// The program ended; what it left behind is being killed.
    Exited(ExitStatus),
}

impl Control {
    pub(super) fn new(socket: OwnedFd) -> Control {
        Control { socket }
    }

    /// Starts the payload in an armed init. `descriptors` are those the plan names by index; init
    /// gets duplicates.
    ///
    /// # Errors
    /// See [`SendError`]; nothing has happened then.
    pub fn go(&self, plan: &ExecPlan, descriptors: &[BorrowedFd<'_>]) -> Result<(), SendError> {
        let named = plan.descriptors.iter().map(|(index, _)| *index);
        let (file, count) = ipc::seal(plan, named, descriptors.len())?;
        let mut all = vec![file.as_fd()];
        all.extend_from_slice(descriptors);
        ipc::send(
            self.as_fd(),
            &ToInit::Go { descriptors: count },
            &all,
            Wait::Never,
        )
    }

    /// Sends `signal` to the process group of the payload.
    ///
    /// # Errors
    /// See [`SendError`]. That the signal was delivered is not told: whether the payload reacts is
    /// its own business, and SIGKILL through the pidfd of init always does.
    pub fn signal(&self, signal: i32) -> Result<(), SendError> {
        ipc::send(self.as_fd(), &ToInit::Signal(signal), &[], Wait::Never)
    }

    /// Receives one event without waiting; `None` when there is none now.
    ///
    /// # Errors
    /// [`ReceiveError::Closed`] when init is gone; any other error means that init does not follow
    /// the protocol and is to be killed.
    pub fn receive(&self) -> Result<Option<InitEvent>, ReceiveError> {
        loop {
            let Some((message, descriptors)) = ipc::receive(self.as_fd(), Wait::Never)? else {
                return Ok(None);
            };
            ipc::expect_descriptors(&descriptors, 0)?;
            return Ok(Some(match message {
                FromInit::Armed => InitEvent::Armed,
                FromInit::Running { pid } => InitEvent::Running { pid },
                FromInit::Failed(error) => InitEvent::Failed(error),
                FromInit::Exited(status) => InitEvent::Exited(status),
                FromInit::SignalFailed { signal, errno } => {
                    let error = std::io::Error::from_raw_os_error(errno);
                    warn!("signal {signal} did not reach a container: {error}");
                    continue;
                }
            }));
        }
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
