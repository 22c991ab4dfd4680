//! Waiting for descriptors of the sandbox, which knows nothing of tokio.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
};
use tokio::io::{
    Interest,
    unix::{AsyncFd, AsyncFdReadyGuard},
};

/// Something with a non-blocking descriptor that is registered with the runtime.
#[derive(Debug)]
pub(super) struct Ready<T: AsFd>(AsyncFd<Numbered<T>>);

/// [`AsyncFd`] wants the number of a descriptor.
#[derive(Debug)]
struct Numbered<T>(T);

impl<T: AsFd> AsRawFd for Numbered<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl<T: AsFd> Ready<T> {
    /// Registers the descriptor. Must be called within the tokio runtime.
    #[expect(
        deprecated,
        reason = "the constructors that replace it are unsafe, because a type might exchange its descriptor; all \
                  types here own one descriptor for their whole life"
    )]
    pub(super) fn new(inner: T, interest: Interest) -> io::Result<Ready<T>> {
        AsyncFd::with_interest(Numbered(inner), interest).map(Ready)
    }

    pub(super) fn get(&self) -> &T {
        &self.0.get_ref().0
    }

    pub(super) fn get_mut(&mut self) -> &mut T {
        &mut self.0.get_mut().0
    }

    /// Waits until something can be read. The guard has to be told when there turned out to be nothing.
    pub(super) async fn readable(&self) -> io::Result<impl Guard> {
        self.0.readable().await
    }

    /// Waits until something can be written.
    pub(super) async fn writable(&self) -> io::Result<impl Guard> {
        self.0.writable().await
    }
}

/// Readiness that was seen.
pub(super) trait Guard {
    /// There was nothing: wait for the next time.
    fn clear(&mut self);
}

impl<T: AsRawFd> Guard for AsyncFdReadyGuard<'_, T> {
    fn clear(&mut self) {
        self.clear_ready();
    }
}
