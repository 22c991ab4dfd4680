//! Who listens on a socket is who peers see behind it.
//!
//! SO_PEERCRED of unix(7) tells who has called listen(2). If the daemon did that, it would be root, as whom nobody must
//! see a container; so nobody can connect before the container itself listens.

use std::os::fd::{OwnedFd, RawFd};

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{SocketType, getpeername, listen, sockopt};

use crate::step::{At, Step, StepError};

/// Connections that wait for accept(2).
const BACKLOG: i32 = 128;

/// A socket that the payload has to listen on, with the number it is promised at.
pub(super) struct Listening {
    socket: OwnedFd,
    target: u32,
}

impl Listening {
    /// A handle with a number from `above` on of a socket that takes connections; `None` for everything else: for what is
    /// no socket, is connected, or takes messages.
    pub(super) fn of(
        descriptor: &OwnedFd,
        target: u32,
        above: RawFd,
    ) -> Result<Option<Listening>, StepError> {
        if !takes_connections(descriptor).at_detail(Step::PayloadDescriptors, target)? {
            return Ok(None);
        }
        let socket = fcntl_dupfd_cloexec(descriptor, above);
        let socket = socket.at_detail(Step::PayloadDescriptors, target)?;
        Ok(Some(Listening { socket, target }))
    }

    /// Listens, as who this process is now.
    pub(super) fn take_over(self) -> Result<(), StepError> {
        listen(&self.socket, BACKLOG).at_detail(Step::Listen, self.target)
    }
}

fn takes_connections(descriptor: &OwnedFd) -> Result<bool, Errno> {
    let kind = match sockopt::socket_type(descriptor) {
        Err(Errno::NOTSOCK) => return Ok(false),
        kind => kind?,
    };
    if kind != SocketType::STREAM && kind != SocketType::SEQPACKET {
        return Ok(false);
    }
    match getpeername(descriptor) {
        Ok(_) => Ok(false),
        Err(Errno::NOTCONN) => Ok(true),
        Err(error) => Err(error),
    }
}
