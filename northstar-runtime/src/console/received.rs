//! Reading from a Unix socket without being held up by what comes along with the bytes.
//!
//! Whoever writes to a Unix socket can pass descriptors along (unix(7)). Those that the reader does not receive are closed
//! by the kernel, in the thread that reads the bytes they belong to or closes the socket, and closing can take any time: a TCP
//! connection whose peer takes no data holds it up for as long as SO_LINGER of socket(7) says. A few of them would stop every thread of the
//! daemon. So the kernel is asked to refuse descriptors, which Linux can since 6.16; and those that come all the same are
//! received and closed by a thread that ends in doing so, because what a thread closes as it ends lingers for nobody.

use northstar_sys::fd;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, Shutdown, recvmsg, shutdown,
};
use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll, ready},
    thread,
};
use tokio::{
    io::{AsyncRead, Interest, ReadBuf},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use tracing::debug;

/// Most descriptors that one message can carry, `SCM_MAX_FD` of the kernel.
const MAX_DESCRIPTORS: usize = 253;
const CONTROL_SPACE: usize = rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS));
/// What is read at once of what nobody wants.
const REST: usize = 4096;

/// A client passed descriptors along, which no request needs.
#[derive(Debug, thiserror::Error)]
#[error("descriptors came with the request")]
struct UnwantedDescriptors;

/// Has the kernel refuse descriptors, if it can.
pub(super) fn refuse_descriptors(socket: BorrowedFd<'_>) {
    if let Err(error) = fd::refuse(socket) {
        debug!("descriptors that clients pass along are not refused: {error}");
    }
}

/// How much is read at once, in bytes.
const MOST: usize = 64 * 1024;

/// The reading half of a Unix connection. It ends with an error when descriptors come.
#[derive(Debug)]
pub(super) struct Received {
    stream: OwnedReadHalf,
}

/// Splits a connection into what is safe to read from and what is written to.
pub(super) fn split(stream: UnixStream) -> (Received, OwnedWriteHalf) {
    let (input, output) = stream.into_split();
    (Received { stream: input }, output)
}

impl AsyncRead for Received {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream: &UnixStream = self.stream.as_ref();
        loop {
            ready!(stream.poll_read_ready(context))?;
            // Not more than one read is worth: this is zeroed first.
            let unfilled = buffer.initialize_unfilled_to(buffer.remaining().min(MOST));
            match stream.try_io(Interest::READABLE, || receive(stream.as_fd(), unfilled)) {
                Ok((bytes, descriptors)) if descriptors.is_empty() => {
                    buffer.advance(bytes);
                    return Poll::Ready(Ok(()));
                }
                Ok((_, descriptors)) => {
                    close_elsewhere(descriptors);
                    let kind = io::ErrorKind::InvalidData;
                    return Poll::Ready(Err(io::Error::new(kind, UnwantedDescriptors)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Drop for Received {
    /// What was never read is closed with the socket.
    fn drop(&mut self) {
        let stream: &UnixStream = self.stream.as_ref();
        // Nothing comes after this, so what is there has an end. It fails if the client is gone, and that is as good.
        let _ended = shutdown(stream, Shutdown::Both);
        let mut unwanted = Vec::new();
        let mut rest = [0; REST];
        loop {
            match receive(stream.as_fd(), &mut rest) {
                Ok((bytes, descriptors)) => {
                    let last = bytes == 0 && descriptors.is_empty();
                    unwanted.extend(descriptors);
                    if last {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        close_elsewhere(unwanted);
    }
}

/// Reads without waiting.
fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); CONTROL_SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok((received.bytes, descriptors))
}

/// Closes descriptors that may take any time, in none of it.
///
/// A thread takes a table of descriptors of its own, where they are a second time. So they are not closed for good here but
/// when that thread ends.
fn close_elsewhere(descriptors: Vec<OwnedFd>) {
    if descriptors.is_empty() {
        return;
    }
    let (tell, told) = mpsc::channel();
    let (hand, handed) = mpsc::channel::<Vec<OwnedFd>>();
    let closing = thread::Builder::new().name("close".to_owned());
    let closing = closing.spawn(move || {
        let own = nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES);
        let _nobody_waits = tell.send(own.is_ok());
        // Without a table of its own this thread is the one to wait.
        if let Ok(descriptors) = handed.recv() {
            drop(descriptors);
        }
    });
    if let Err(error) = closing {
        debug!(
            "{} descriptors are closed in place: {error}",
            descriptors.len()
        );
        return;
    }
    // It takes as long as a table takes to be copied.
    match told.recv() {
        Ok(true) => drop(descriptors),
        Ok(false) | Err(_) => {
            let _gone = hand.send(descriptors);
        }
    }
}

#[cfg(test)]
mod tests;
