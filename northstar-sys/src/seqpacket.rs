//! Messages with descriptors over a pair of connected SOCK_SEQPACKET sockets, unix(7).
//!
//! One send is one receive: a message is never split, joined or cut. What does not fit is an
//! error, never a shorter message; descriptors arrive close-on-exec, and all of them or none.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::{Error, Result};

/// Most descriptors one message can carry; the kernel's own limit is 253 (`SCM_MAX_FD`).
pub const MAX_DESCRIPTORS: usize = 252;

/// Bytes of ancillary data for [`MAX_DESCRIPTORS`].
const CONTROL_SPACE: usize = rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS));

/// Whether a call may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until it can be done.
    Block,
    /// Not at all: EAGAIN instead.
    Never,
}

/// A received message.
#[derive(Debug)]
pub struct Message {
    /// The bytes, never empty.
    pub bytes: Vec<u8>,
    /// The descriptors, close-on-exec, in the order sent. `None` if some of them could not arrive (MSG_CTRUNC,
    /// recvmsg(2)), because this process may have no more (RLIMIT_NOFILE) or a security module forbids it; those that
    /// did are closed then.
    pub descriptors: Option<Vec<OwnedFd>>,
}

/// Creates two connected, close-on-exec sockets.
///
/// # Errors
/// The errno of socketpair(2).
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|e| Error::new("socketpair", "AF_UNIX, SOCK_SEQPACKET", e))
}

/// Sends one message.
///
/// # Errors
/// EAGAIN when it would have to wait and must not, EPIPE when the other end is gone, EMSGSIZE for
/// a message that is empty, too long or carries more than [`MAX_DESCRIPTORS`], or the errno of
/// sendmsg(2) or, without descriptors, send(2).
pub fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    wait: Wait,
) -> Result<()> {
    let describe = || format!("{} bytes, {} descriptors", bytes.len(), descriptors.len());
    if bytes.is_empty() || descriptors.len() > MAX_DESCRIPTORS {
        return Err(Error::from_errno("sendmsg", describe(), libc::EMSGSIZE));
    }
    let flags = SendFlags::NOSIGNAL
        | match wait {
            Wait::Block => SendFlags::empty(),
            Wait::Never => SendFlags::DONTWAIT,
        };
    loop {
        let sent = if descriptors.is_empty() {
            // By a call that cannot carry any: init has no other.
            rustix::net::send(socket, bytes, flags)
        } else {
            let mut space = [MaybeUninit::uninit(); CONTROL_SPACE];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
                return Err(Error::from_errno("sendmsg", describe(), libc::EMSGSIZE));
            }
            rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)
        };
        match sent {
            Ok(sent) if sent == bytes.len() => return Ok(()),
            Ok(_) => return Err(Error::from_errno("sendmsg", describe(), libc::EMSGSIZE)),
            Err(Errno::INTR) => {}
            Err(error) => return Err(Error::new("sendmsg", describe(), error)),
        }
    }
}

/// Receives one message of at most `limit` bytes; `None` when the other end is closed.
///
/// # Errors
/// EAGAIN when there is none and the call must not wait, EMSGSIZE when bytes were cut off (what
/// came of it is closed), or the errno of recvmsg(2).
pub fn receive(socket: BorrowedFd<'_>, limit: usize, wait: Wait) -> Result<Option<Message>> {
    let mut bytes = vec![0; limit];
    let mut space = [MaybeUninit::uninit(); CONTROL_SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC
        | match wait {
            Wait::Block => RecvFlags::empty(),
            Wait::Never => RecvFlags::DONTWAIT,
        };
    let received = loop {
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        match rustix::net::recvmsg(socket, &mut buffers, &mut control, flags) {
            Ok(received) => break received,
            Err(Errno::INTR) => {}
            Err(error) => return Err(Error::new("recvmsg", format!("limit {limit}"), error)),
        }
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        let what = format!("truncated, limit {limit}");
        return Err(Error::from_errno("recvmsg", what, libc::EMSGSIZE));
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    bytes.truncate(received.bytes);
    let is_complete = !received.flags.contains(ReturnFlags::CTRUNC);
    Ok(Some(Message {
        bytes,
        descriptors: is_complete.then_some(descriptors),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn message_arrives_whole_with_its_descriptors_in_order() {
        let (a, b) = pair().unwrap();
        let null = File::open("/dev/null").unwrap();
        let zero = File::open("/dev/zero").unwrap();
        send(
            a.as_fd(),
            b"one",
            &[null.as_fd(), zero.as_fd()],
            Wait::Never,
        )
        .unwrap();
        send(a.as_fd(), b"two", &[], Wait::Never).unwrap();
        let one = receive(b.as_fd(), 16, Wait::Never).unwrap().unwrap();
        assert_eq!(one.bytes, b"one");
        let descriptors = one.descriptors.unwrap();
        let links = descriptors.iter().map(|fd| {
            use std::os::fd::AsRawFd;
            let flags = rustix::io::fcntl_getfd(fd).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap()
        });
        let links = links.collect::<Vec<_>>();
        assert_eq!(
            links,
            ["/dev/null", "/dev/zero"].map(std::path::PathBuf::from)
        );
        let two = receive(b.as_fd(), 16, Wait::Never).unwrap().unwrap();
        assert_eq!(
            (two.bytes.as_slice(), two.descriptors.unwrap().len()),
            (&b"two"[..], 0)
        );
        let error = receive(b.as_fd(), 16, Wait::Never).unwrap_err();
        assert_eq!(error.errno(), libc::EAGAIN);
    }

    #[test]
    fn closed_end_is_none_to_read_and_epipe_to_write() {
        let (a, b) = pair().unwrap();
        drop(b);
        assert!(receive(a.as_fd(), 16, Wait::Block).unwrap().is_none());
        let error = send(a.as_fd(), b"x", &[], Wait::Never).unwrap_err();
        assert_eq!(error.errno(), libc::EPIPE);
    }

    #[test]
    fn message_beyond_the_limit_is_an_error_and_the_next_is_not() {
        let (a, b) = pair().unwrap();
        let null = File::open("/dev/null").unwrap();
        send(a.as_fd(), &[7; 17], &[null.as_fd()], Wait::Never).unwrap();
        send(a.as_fd(), &[8; 16], &[], Wait::Never).unwrap();
        let error = receive(b.as_fd(), 16, Wait::Never).unwrap_err();
        assert_eq!(error.errno(), libc::EMSGSIZE);
        let next = receive(b.as_fd(), 16, Wait::Never).unwrap().unwrap();
        assert_eq!(next.bytes, [8; 16]);
    }

    #[test]
    fn most_descriptors_pass_and_one_more_does_not() {
        let (a, b) = pair().unwrap();
        let null = File::open("/dev/null").unwrap();
        let many = vec![null.as_fd(); MAX_DESCRIPTORS + 1];
        let error = send(a.as_fd(), b"x", &many, Wait::Never).unwrap_err();
        assert_eq!(error.errno(), libc::EMSGSIZE);
        send(a.as_fd(), b"x", &many[1..], Wait::Never).unwrap();
        let message = receive(b.as_fd(), 1, Wait::Never).unwrap().unwrap();
        assert_eq!(message.descriptors.unwrap().len(), MAX_DESCRIPTORS);
    }

    #[test]
    fn empty_message_cannot_pretend_to_be_the_end() {
        let (a, _b) = pair().unwrap();
        assert_eq!(
            send(a.as_fd(), b"", &[], Wait::Never).unwrap_err().errno(),
            libc::EMSGSIZE
        );
    }
}
