//! The sockets that the manifest asks for.

use std::{
    env, io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use nix::sys::socket::{GetSockOpt, UnixAddr, getsockname, getsockopt, sockopt};

use crate::{Answer, done};

/// How the variable of a socket begins; its name follows.
const VARIABLE: &str = "NORTHSTAR_SOCKET_";

pub fn run(words: &[&str]) -> Answer {
    match words {
        ["sockets"] => list()?,
        _ => return Ok(None),
    }
    done()
}

/// Prints each socket with its kind, whether it listens, and the name it is bound to.
fn list() -> io::Result<()> {
    let mut sockets: Vec<(String, String)> = env::vars()
        .filter_map(|(name, number)| Some((name.strip_prefix(VARIABLE)?.to_owned(), number)))
        .collect();
    sockets.sort();
    for (name, number) in sockets {
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
