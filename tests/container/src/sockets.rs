//! The sockets that the manifest asks for.

use std::{
    env, io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use nix::sys::socket::{GetSockOpt, UnixAddr, getsockname, getsockopt, sockopt};

use crate::{Answer, done, report};

/// How the variable of a socket begins; its name follows.
const VARIABLE: &str = "NORTHSTAR_SOCKET_";

pub fn run(words: &[&str]) -> Answer {
    match words {
        ["sockets"] => list()?,
        ["send-abstract", name] => send(name)?,
        _ => return Ok(None),
    }
    done()
}

/// The sockets with their names, sorted.
fn all() -> Vec<(String, String)> {
    let mut sockets: Vec<(String, String)> = env::vars()
        .filter_map(|(name, number)| Some((name.strip_prefix(VARIABLE)?.to_owned(), number)))
        .collect();
    sockets.sort();
    sockets
}

/// Sends a word to an abstract address through each socket, which have to take messages.
fn send(address: &str) -> io::Result<()> {
    let address = SocketAddr::from_abstract_name(address)?;
    for (name, number) in all() {
        let socket = UnixDatagram::from(take(&number)?);
        let sent = socket.send_to_addr(name.as_bytes(), &address);
        report(&name, sent.map(|_| "sent".to_owned()))?;
    }
    Ok(())
}

/// Prints each socket with its kind, whether it listens, and the name it is bound to.
fn list() -> io::Result<()> {
    for (name, number) in all() {
        let socket = take(&number)?;
        let kind = option(&socket, sockopt::SockType)?;
        let listens = option(&socket, sockopt::AcceptConn)?;
        let bound: UnixAddr = getsockname(socket.as_raw_fd())?;
        let path = bound
            .path()
            .and_then(|path| path.file_name())
            .unwrap_or_default();
        println!(
            "socket {name} {kind:?} listens={listens} {}",
            path.display()
        );
    }
    Ok(())
}

fn option<O: GetSockOpt>(socket: &impl AsFd, option: O) -> io::Result<O::Val> {
    Ok(getsockopt(socket, option)?)
}

/// The descriptor that the environment promises.
fn take(number: &str) -> io::Result<OwnedFd> {
    let number = number.parse().map_err(io::Error::other)?;
    northstar_sys::fd::adopt(number).map_err(io::Error::other)
}
