//! The network namespace in which the sockets are made that a container is given.
//!
//! A socket belongs for ever to the network namespace of the thread that made it, and whoever has it gets at that
//! namespace, wherever it is itself: netdevice(7) tells of the interfaces there, unix(7) looks up abstract addresses
//! there, and with CAP_NET_ADMIN the network can be changed and entered (SIOCGSKNS). So none is made in the daemon's,
//! unless the container is in that.

use super::Error;
use nix::sched::{CloneFlags, setns, unshare};
use std::{
    fs::File,
    io,
    os::fd::{BorrowedFd, OwnedFd},
    thread,
};

/// A network namespace to make sockets in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Network<'a> {
    /// The daemon's.
    Host,
    /// This one.
    Existing(BorrowedFd<'a>),
    /// A new one with nothing in it.
    New,
}

/// Makes sockets in a network namespace, and returns that if it is a new one. Blocks.
pub(super) fn inside<T: Send>(
    network: Network<'_>,
    make: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<(T, Option<OwnedFd>), Error> {
    if matches!(network, Network::Host) {
        return Ok((make()?, None));
    }
    // On a thread that ends with it: nothing can fail to come back from there.
    let work = move || {
        let own = enter(network).map_err(Error::SocketNetwork)?;
        Ok((make()?, own))
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("sockets".to_owned());
        let thread = thread.spawn_scoped(scope, work);
        let thread = thread.map_err(Error::SocketNetwork)?;
        thread.join().unwrap_or(Err(Error::Interrupted))
    })
}

/// Moves this thread into the namespace.
fn enter(network: Network<'_>) -> io::Result<Option<OwnedFd>> {
    match network {
        Network::Host => Ok(None),
        Network::Existing(namespace) => {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            Ok(None)
        }
        Network::New => {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let own = File::open("/proc/thread-self/ns/net")?;
            Ok(Some(own.into()))
        }
    }
}
