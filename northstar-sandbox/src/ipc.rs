//! Typed messages and plans on top of seqpacket sockets and sealed memory files.
//!
//! A message is one frame of at most [`MAX_FRAME`] bytes; a plan can be larger and travels as a
//! descriptor of a memory file that can no longer change. Nothing is allocated on the word of the
//! sender beyond those limits.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use northstar_sys::memfd::{self, Content};
use northstar_sys::seqpacket::{self, Wait};
use serde::{Serialize, de::DeserializeOwned};

use crate::plan::{DescriptorIndex, MAX_DESCRIPTORS, MAX_PLAN};

/// Longest message in bytes: a step error with its detail and some room.
const MAX_FRAME: usize = 2048;

/// A message could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The plan names a descriptor that is not in the list beside it.
    #[error("the plan names descriptor {} of {count}", index.0)]
    UnknownDescriptor {
        /// The index in the plan.
        index: DescriptorIndex,
        /// How many descriptors there are.
        count: usize,
    },
    /// More descriptors than one message can carry.
    #[error("{count} descriptors, at most {MAX_DESCRIPTORS} can travel with a plan")]
    TooManyDescriptors {
        /// How many there are.
        count: usize,
    },
    /// The plan is too large.
    #[error("the plan takes {size} bytes, at most {MAX_PLAN} are allowed")]
    PlanTooLarge {
        /// Its encoded size in bytes.
        size: usize,
    },
    /// The message cannot be encoded.
    #[error("the message cannot be encoded")]
    Encode(#[source] postcard::Error),
    /// The other side does not read fast enough; wait until the socket is writable.
    #[error("the socket is full")]
    Full,
    /// The other side is gone.
    #[error("the other end of the socket is closed")]
    Closed,
    /// A system call failed.
    #[error("the message cannot be sent")]
    System(#[source] northstar_sys::Error),
}

/// A message could not be received.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The other side is gone.
    #[error("the other end of the socket is closed")]
    Closed,
    /// What was received is no message.
    #[error("malformed message")]
    Malformed(#[source] postcard::Error),
    /// The message came with the wrong number of descriptors.
    #[error("{received} descriptors came with a message that has {expected}")]
    Descriptors {
        /// How many belong to it.
        expected: usize,
        /// How many came.
        received: usize,
    },
    /// The descriptors of the message could not arrive.
    #[error("no room for the descriptors of a message, see RLIMIT_NOFILE")]
    DescriptorsLost,
    /// Init tells of more signals that failed than were sent.
    #[error("a signal failed that was not sent")]
    UnaskedFailure,
    /// A system call failed, or the message was longer than any message can be.
    #[error("no message can be received")]
    System(#[source] northstar_sys::Error),
}

/// Sends one message with its descriptors.
pub(crate) fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
    wait: Wait,
) -> Result<(), SendError> {
    let bytes = postcard::to_allocvec(message).map_err(SendError::Encode)?;
    seqpacket::send(socket, &bytes, descriptors, wait).map_err(|error| match error.errno() {
        EAGAIN => SendError::Full,
        EPIPE | ECONNRESET => SendError::Closed,
        _ => SendError::System(error),
    })
}

/// The descriptors of a message; `None` if this process could not take all of them, see
/// [`seqpacket::Message::descriptors`].
pub(crate) type Descriptors = Option<Vec<OwnedFd>>;

/// Receives one message with its descriptors; `None` when there is none and the call must not
/// wait.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: BorrowedFd<'_>,
    wait: Wait,
) -> Result<Option<(T, Descriptors)>, ReceiveError> {
    let message = match seqpacket::receive(socket, MAX_FRAME, wait) {
        Ok(Some(message)) => message,
        Ok(None) => return Err(ReceiveError::Closed),
        Err(error) if error.errno() == EAGAIN => return Ok(None),
        // The kernel says so when the other end was closed with unread messages in its queue.
        Err(error) if error.errno() == ECONNRESET => return Err(ReceiveError::Closed),
        Err(error) => return Err(ReceiveError::System(error)),
    };
    match postcard::take_from_bytes(&message.bytes) {
        Ok((decoded, [])) => Ok(Some((decoded, message.descriptors))),
        Ok(_) => Err(ReceiveError::Malformed(
            postcard::Error::DeserializeBadEncoding,
        )),
        Err(error) => Err(ReceiveError::Malformed(error)),
    }
}

/// The descriptors of a message that carries `expected` of them.
pub(crate) fn expect_descriptors(
    descriptors: Descriptors,
    expected: usize,
) -> Result<Vec<OwnedFd>, ReceiveError> {
    let descriptors = descriptors.ok_or(ReceiveError::DescriptorsLost)?;
    let received = descriptors.len();
    if received == expected {
        Ok(descriptors)
    } else {
        Err(ReceiveError::Descriptors { expected, received })
    }
}

/// Puts a plan into a sealed memory file, after checking that every descriptor it names is one of
/// `count`. Returns the file and the count in the form the message carries.
pub(crate) fn seal<T: Serialize>(
    plan: &T,
    named: impl IntoIterator<Item = DescriptorIndex>,
    count: usize,
) -> Result<(OwnedFd, u16), SendError> {
    let descriptors = u16::try_from(count)
        .ok()
        .filter(|_| count <= MAX_DESCRIPTORS)
        .ok_or(SendError::TooManyDescriptors { count })?;
    if let Some(index) = named
        .into_iter()
        .find(|index| usize::from(index.0) >= count)
    {
        return Err(SendError::UnknownDescriptor { index, count });
    }
    let bytes = postcard::to_allocvec(plan).map_err(SendError::Encode)?;
    if bytes.len() > MAX_PLAN {
        return Err(SendError::PlanTooLarge { size: bytes.len() });
    }
    let file = memfd::sealed("northstar-plan", &bytes, Content::Data).map_err(SendError::System)?;
    Ok((file, descriptors))
}

/// Reads a plan back; the error is an errno(3): EBADMSG when it is no plan.
pub(crate) fn unseal<T: DeserializeOwned>(file: &OwnedFd) -> Result<T, rustix::io::Errno> {
    let bytes = memfd::read_sealed(file.as_fd(), MAX_PLAN)
        .map_err(|error| rustix::io::Errno::from_raw_os_error(error.errno()))?;
    match postcard::take_from_bytes(&bytes) {
        Ok((plan, [])) => Ok(plan),
        _ => Err(rustix::io::Errno::BADMSG),
    }
}

const EAGAIN: i32 = rustix::io::Errno::AGAIN.raw_os_error();
const EPIPE: i32 = rustix::io::Errno::PIPE.raw_os_error();
const ECONNRESET: i32 = rustix::io::Errno::CONNRESET.raw_os_error();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{FromInit, ToInit};
    use crate::step::{Step, StepError};
    use proptest::prelude::*;

    #[test]
    fn longest_step_error_fits_into_a_frame() {
        let (a, b) = seqpacket::pair().unwrap();
        let error = StepError::new(Step::Execve, i32::MIN, "x".repeat(StepError::MAX_DETAIL));
        let message = FromInit::Failed(error);
        send(a.as_fd(), &message, &[], Wait::Never).unwrap();
        let (received, descriptors) = receive::<FromInit>(b.as_fd(), Wait::Never)
            .unwrap()
            .unwrap();
        assert_eq!((received, descriptors.unwrap().len()), (message, 0));
    }

    #[test]
    fn trailing_bytes_and_closed_ends_are_told_apart() {
        let (a, b) = seqpacket::pair().unwrap();
        assert!(matches!(
            receive::<ToInit>(b.as_fd(), Wait::Never),
            Ok(None)
        ));
        seqpacket::send(a.as_fd(), &[1, 2, 99], &[], Wait::Never).unwrap();
        let error = receive::<ToInit>(b.as_fd(), Wait::Never).unwrap_err();
        assert!(matches!(error, ReceiveError::Malformed(_)), "{error:?}");
        drop(a);
        let error = receive::<ToInit>(b.as_fd(), Wait::Never).unwrap_err();
        assert!(matches!(error, ReceiveError::Closed), "{error:?}");
        let error = send(b.as_fd(), &ToInit::Signal(1), &[], Wait::Never).unwrap_err();
        assert!(matches!(error, SendError::Closed), "{error:?}");
    }

    #[test]
    fn full_socket_is_told_apart() {
        let (a, _b) = seqpacket::pair().unwrap();
        let error = loop {
            if let Err(error) = send(a.as_fd(), &ToInit::Signal(1), &[], Wait::Never) {
                break error;
            }
        };
        assert!(matches!(error, SendError::Full), "{error:?}");
    }

    #[test]
    fn plan_is_checked_before_it_is_sealed() {
        let error = seal(&(), [DescriptorIndex(2)], 2).unwrap_err();
        assert!(
            matches!(error, SendError::UnknownDescriptor { count: 2, .. }),
            "{error:?}"
        );
        let error = seal(&(), [], MAX_DESCRIPTORS + 1).unwrap_err();
        assert!(
            matches!(error, SendError::TooManyDescriptors { count: 251 }),
            "{error:?}"
        );
        let error = seal(&vec![0u8; MAX_PLAN + 1], [], 0).unwrap_err();
        assert!(matches!(error, SendError::PlanTooLarge { .. }), "{error:?}");
        let (file, count) = seal(&7u8, [DescriptorIndex(1)], 2).unwrap();
        assert_eq!((unseal::<u8>(&file), count), (Ok(7), 2));
        assert_eq!(
            unseal::<u64>(&seal(&0x80u8, [], 0).unwrap().0),
            Err(rustix::io::Errno::BADMSG)
        );
    }

    proptest! {
        /// No bytes from a hostile init end the daemon.
        #[test]
        fn any_bytes_are_a_message_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 1..64)
        ) {
            let (a, b) = seqpacket::pair().unwrap();
            seqpacket::send(a.as_fd(), &bytes, &[], Wait::Never).unwrap();
            match receive::<FromInit>(b.as_fd(), Wait::Never) {
                Ok(Some(_)) | Err(ReceiveError::Malformed(_)) => {}
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
