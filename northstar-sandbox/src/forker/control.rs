//! The daemon's end of the socket to one init.
//!
//! What comes out of it is the word of a process that serves a container: it is decoded within
//! fixed limits and believed for that container only. After an error the container is to be
//! killed through the pidfd of its init.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use northstar_sys::seqpacket::Wait;

use crate::ipc::{self, ReceiveError, SendError};
use crate::message::{ExitStatus, FromInit, ToInit};
use crate::plan::{ExecPlan, MAX_DESCRIPTORS};
use crate::step::StepError;

/// The daemon's end of the socket to one init. Closing it ends the container.
#[derive(Debug)]
pub struct Control {
    socket: OwnedFd,
    /// Signals sent whose failure init has not told.
    unfailed: AtomicU64,
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
    /// A signal of [`Control::signal`] did not reach the payload. There are never more of these
    /// than signals were sent.
    SignalFailed {
        /// The number from signal(7), as init tells it.
        signal: i32,
        /// The number from errno(3), as init tells it.
        errno: i32,
    },
}

impl Control {
    pub(super) fn new(socket: OwnedFd) -> Control {
        Control {
            socket,
            unfailed: AtomicU64::new(0),
        }
    }

    /// Starts the payload in an armed init. `descriptors` are those the plan names by index; init
    /// gets duplicates. Init joins `cgroups` first, control groups of version 1: their files
    /// `tasks`, open for writing.
    ///
    /// # Errors
    /// See [`SendError`]; nothing has happened then.
    pub fn go(
        &self,
        plan: &ExecPlan,
        descriptors: &[BorrowedFd<'_>],
        cgroups: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        let named = plan.descriptors.iter().map(|(index, _)| *index);
        let (file, descriptors_count) = ipc::seal(plan, named, descriptors.len())?;
        let mut all = vec![file.as_fd()];
        all.extend_from_slice(descriptors);
        all.extend_from_slice(cgroups);
        let count = descriptors.len().saturating_add(cgroups.len());
        let too_many = SendError::TooManyDescriptors { count };
        let cgroups = u16::try_from(cgroups.len())
            .ok()
            .filter(|_| count <= MAX_DESCRIPTORS)
            .ok_or(too_many)?;
        let message = ToInit::Go {
            descriptors: descriptors_count,
            cgroups,
        };
        ipc::send(self.as_fd(), &message, &all, Wait::Never)
    }

    /// Sends `signal` to the process group of the payload.
    ///
    /// # Errors
    /// See [`SendError`]. That the signal was delivered is not told, only, by
    /// [`InitEvent::SignalFailed`], that it was not: whether the payload reacts is its own
    /// business, and SIGKILL through the pidfd of init always does.
    pub fn signal(&self, signal: i32) -> Result<(), SendError> {
        // Before the message, whose answer may be received before this function returns.
        self.unfailed.fetch_add(1, Ordering::Relaxed);
        let sent = ipc::send(self.as_fd(), &ToInit::Signal(signal), &[], Wait::Never);
        if sent.is_err() {
            // An answer that came without a question has taken it already.
            let _unasked = self.take_one_unfailed();
        }
        sent
    }

    /// Receives one message of init without waiting; `None` when there is none now.
    ///
    /// # Errors
    /// [`ReceiveError::Closed`] when init is gone; any other error means that init does not follow
    /// the protocol and is to be killed.
    pub fn receive(&self) -> Result<Option<InitEvent>, ReceiveError> {
        let Some((message, descriptors)) = ipc::receive(self.as_fd(), Wait::Never)? else {
            return Ok(None);
        };
        ipc::expect_descriptors(descriptors, 0)?;
        Ok(Some(match message {
            FromInit::Armed => InitEvent::Armed,
            FromInit::Running { pid } => InitEvent::Running { pid },
            FromInit::Failed(error) => InitEvent::Failed(error),
            FromInit::Exited(status) => InitEvent::Exited(status),
            FromInit::SignalFailed { signal, errno } => {
                if !self.take_one_unfailed() {
                    return Err(ReceiveError::UnaskedFailure);
                }
                InitEvent::SignalFailed { signal, errno }
            }
        }))
    }

    /// Whether there was a signal left that can have failed.
    fn take_one_unfailed(&self) -> bool {
        let less = |count: u64| count.checked_sub(1);
        let order = Ordering::Relaxed;
        self.unfailed.fetch_update(order, order, less).is_ok()
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use northstar_sys::seqpacket;

    fn pair() -> (Control, OwnedFd) {
        let (ours, theirs) = seqpacket::pair().unwrap();
        (Control::new(ours), theirs)
    }

    fn say(init: &OwnedFd, message: &FromInit) {
        ipc::send(init.as_fd(), message, &[], Wait::Never).unwrap();
    }

    const FAILED: FromInit = FromInit::SignalFailed {
        signal: 10,
        errno: 3,
    };
    const EVENT: InitEvent = InitEvent::SignalFailed {
        signal: 10,
        errno: 3,
    };

    #[test]
    fn one_call_handles_one_message() {
        let (control, init) = pair();
        control.signal(10).unwrap();
        control.signal(10).unwrap();
        say(&init, &FAILED);
        say(&init, &FAILED);
        say(&init, &FromInit::Armed);
        for expected in [EVENT, EVENT, InitEvent::Armed] {
            assert_eq!(control.receive().unwrap(), Some(expected));
        }
        assert_eq!(control.receive().unwrap(), None);
    }

    #[test]
    fn failure_nobody_asked_for_is_a_violation() {
        let (control, init) = pair();
        say(&init, &FAILED);
        let error = control.receive().unwrap_err();
        assert!(matches!(error, ReceiveError::UnaskedFailure), "{error:?}");
        // One signal, two failures.
        control.signal(10).unwrap();
        say(&init, &FAILED);
        say(&init, &FAILED);
        assert_eq!(control.receive().unwrap(), Some(EVENT));
        let error = control.receive().unwrap_err();
        assert!(matches!(error, ReceiveError::UnaskedFailure), "{error:?}");
    }

    #[test]
    fn signal_that_was_not_sent_cannot_fail() {
        let (control, init) = pair();
        let mut sent = 0;
        while control.signal(10).is_ok() {
            sent += 1;
        }
        for _ in 0..sent {
            say(&init, &FAILED);
            assert_eq!(control.receive().unwrap(), Some(EVENT));
        }
        say(&init, &FAILED);
        let error = control.receive().unwrap_err();
        assert!(matches!(error, ReceiveError::UnaskedFailure), "{error:?}");
    }
}
