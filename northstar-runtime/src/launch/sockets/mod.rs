//! Sockets that the runtime binds for a container.
//!
//! `socket_dir/NAME:VERSION/SOCKET` is the socket, and a second name of it, `NAME:VERSION:SOCKET`, is in one flat
//! directory. That directory is what a mount of type `sockets` shows, so that it shows sockets of running containers
//! and nothing else.

mod directory;
#[cfg(test)]
mod tests;

pub(crate) use directory::{all, reset};

use directory::{close, directories, directory, place, remove};
use northstar_manifest::{Container, Socket, SocketKind};
use rustix::{
    fs::{AtFlags, Gid, Mode, Uid, chmodat, chownat, linkat, unlinkat},
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with,
        sockopt::set_socket_passcred,
    },
};
use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

/// The bound sockets of one container. Dropping removes their names.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// The sockets by their names in the manifest.
    pub(crate) descriptors: BTreeMap<String, OwnedFd>,
    /// Their names in the file system.
    pub(crate) names: Names,
}

/// The names of the sockets in the file system.
#[derive(Debug)]
pub(crate) struct Names {
    parent: OwnedFd,
    all: OwnedFd,
    container: String,
    sockets: Vec<String>,
}

impl Sockets {
    /// Binds all sockets of a manifest, in place of what a dead run left there.
    pub(crate) fn bind(
        socket_dir: &Path,
        container: &Container,
        owner: (u32, u32),
        sockets: &BTreeMap<String, Socket>,
    ) -> Result<Sockets, SocketError> {
        let failed = |source: io::Error| SocketError {
            path: socket_dir.to_owned(),
            source,
        };
        let (parent, all) = directories(socket_dir).map_err(failed)?;
        let container = container.to_string();
        let mut bound = Sockets {
            descriptors: BTreeMap::new(),
            names: Names {
                parent,
                all,
                container: container.clone(),
                sockets: Vec::new(),
            },
        };
        if sockets.is_empty() {
            return Ok(bound);
        }
        let directory = directory(bound.names.parent.as_fd(), &container).map_err(failed)?;
        // From here on there is something to remove.
        bound.names.sockets = sockets.keys().cloned().collect();
        let place = place(directory.as_fd()).map_err(failed)?;
        for (name, socket) in sockets {
            let path = || socket_dir.join(&container).join(name);
            let descriptor = bound
                .names
                .bind(directory.as_fd(), place.as_fd(), name, owner, socket)
                .map_err(|source| SocketError {
                    path: path(),
                    source,
                })?;
            bound.descriptors.insert(name.clone(), descriptor);
        }
        close(place.as_fd()).map_err(failed)?;
        Ok(bound)
    }
}

/// A socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
pub struct SocketError {
    /// The socket or its directory.
    pub path: PathBuf,
    /// The kernel's answer.
    pub source: io::Error,
}

impl Names {
    fn bind(
        &self,
        directory: BorrowedFd<'_>,
        place: BorrowedFd<'_>,
        name: &str,
        (uid, gid): (u32, u32),
        socket: &Socket,
    ) -> io::Result<OwnedFd> {
        let kind = match socket.kind {
            SocketKind::Stream => SocketType::STREAM,
            SocketKind::Datagram => SocketType::DGRAM,
            SocketKind::SeqPacket => SocketType::SEQPACKET,
        };
        remove(directory, name)?;
        let descriptor = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        // The path of a socket address holds 107 bytes; through the descriptor the name alone counts.
        let path = format!("/proc/self/fd/{}/{name}", place.as_raw_fd());
        bind(&descriptor, &SocketAddrUnix::new(path)?)?;
        let uid = Uid::from_raw(socket.uid.unwrap_or(uid));
        let gid = Gid::from_raw(socket.gid.unwrap_or(gid));
        chownat(
            directory,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        chmodat(
            directory,
            name,
            Mode::from_raw_mode(socket.mode),
            AtFlags::empty(),
        )?;
        set_socket_passcred(&descriptor, socket.passcred.unwrap_or(false))?;
        // The container listens, so that peers see its ids and not those of the daemon.
        let shown = self.shown(name);
        remove(self.all.as_fd(), &shown)?;
        linkat(directory, name, &self.all, shown, AtFlags::empty())?;
        Ok(descriptor)
    }

    fn shown(&self, socket: &str) -> String {
        format!("{}:{socket}", self.container)
    }

    /// Removes all names. Tries each of them and reports the first failure.
    pub(crate) fn remove(mut self) -> io::Result<()> {
        self.remove_all()
    }

    fn remove_all(&mut self) -> io::Result<()> {
        let sockets = std::mem::take(&mut self.sockets);
        if sockets.is_empty() {
            return Ok(());
        }
        let mut result = Ok(());
        let directory = directory(self.parent.as_fd(), &self.container)?;
        for name in &sockets {
            let shown = remove(self.all.as_fd(), &self.shown(name));
            let bound = remove(directory.as_fd(), name);
            result = result.and(shown).and(bound);
        }
        let removed = unlinkat(&self.parent, &self.container, AtFlags::REMOVEDIR);
        result.and(removed.map_err(io::Error::from))
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        if let Err(error) = self.remove_all() {
            tracing::warn!("sockets of {} are left behind: {error}", self.container);
        }
    }
}
