//! Sockets that the runtime binds for a container.
//!
//! `socket_dir/NAME:VERSION/SOCKET` is the socket, and a second name of it, `NAME:VERSION:SOCKET`, is in one flat
//! directory. That directory is what a mount of type `sockets` shows, so that it shows sockets of running containers
//! and nothing else.

use northstar_manifest::{Container, Socket, SocketKind};
use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Uid, chmodat, chownat, linkat, mkdirat,
        openat, statat, unlinkat,
    },
    io::Errno,
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

/// The flat directory. No container's name begins with a dot.
const ALL: &str = ".all";
/// Everybody may look up a name: who may connect is said by the socket's own mode.
const SEARCHABLE: Mode = Mode::from_raw_mode(0o755);

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
        for (name, socket) in sockets {
            bound.names.sockets.push(name.clone());
            let path = || socket_dir.join(&container).join(name);
            let descriptor = bound
                .names
                .bind(directory.as_fd(), name, owner, socket)
                .map_err(|source| SocketError {
                    path: path(),
                    source,
                })?;
            bound.descriptors.insert(name.clone(), descriptor);
        }
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
        let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
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

/// The flat directory that a mount of type `sockets` shows.
pub(crate) fn all(socket_dir: &Path) -> io::Result<OwnedFd> {
    directories(socket_dir).map(|(_, all)| all)
}

/// Removes the sockets that a dead predecessor left, and only them, and makes the flat directory. What is in the place
/// of a container's directory but is none stays, and concerns that container only.
pub(crate) fn reset(socket_dir: &Path) -> io::Result<()> {
    let (parent, all) = directories(socket_dir)?;
    clear(all.as_fd())?;
    for entry in Dir::read_from(&parent)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if name.parse::<Container>().is_ok() {
            let container = match directory(parent.as_fd(), name) {
                Ok(container) => container,
                Err(error) if is_no_directory(&error) => {
                    let path = socket_dir.join(name);
                    tracing::warn!("{} is no directory and left alone", path.display());
                    continue;
                }
                Err(error) => return Err(error),
            };
            clear(container.as_fd())?;
            match unlinkat(&parent, name, AtFlags::REMOVEDIR) {
                // Something else than our sockets is in it.
                Ok(()) | Err(Errno::NOTEMPTY) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Something else has the name: a file, or a symbolic link, which is not followed.
fn is_no_directory(error: &io::Error) -> bool {
    [Errno::NOTDIR, Errno::LOOP]
        .into_iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Removes the sockets in a directory.
fn clear(directory: BorrowedFd<'_>) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let stat = statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode).is_socket() {
            unlinkat(directory, entry.file_name(), AtFlags::empty())?;
        }
    }
    Ok(())
}

fn directories(socket_dir: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    std::fs::create_dir_all(socket_dir)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = openat(CWD, socket_dir, flags, Mode::empty())?;
    let all = directory(parent.as_fd(), ALL)?;
    Ok((parent, all))
}

fn directory(parent: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    match mkdirat(parent, name, SEARCHABLE) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

fn remove(directory: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::{UnixDatagram, UnixStream},
    };

    fn manifest(kind: SocketKind) -> BTreeMap<String, Socket> {
        let socket = Socket {
            kind,
            mode: 0o620,
            uid: Some(1000),
            gid: None,
            passcred: None,
        };
        BTreeMap::from([("control".to_owned(), socket)])
    }

    fn bind(dir: &Path, kind: SocketKind) -> Sockets {
        Sockets::bind(
            dir,
            &"a:1.0.0".parse().unwrap(),
            (2000, 2001),
            &manifest(kind),
        )
        .unwrap()
    }

    /// What the container does.
    fn listen(sockets: &Sockets) {
        rustix::net::listen(&sockets.descriptors["control"], 1).unwrap();
    }

    #[test]
    fn socket_has_the_owner_and_mode_of_the_manifest() {
        let dir = tempfile::tempdir().unwrap();
        let sockets = bind(dir.path(), SocketKind::Stream);
        let file = std::fs::metadata(dir.path().join("a:1.0.0/control")).unwrap();
        assert!(file.file_type().is_socket());
        assert_eq!(
            (file.uid(), file.gid(), file.mode() & 0o7777),
            (1000, 2001, 0o620)
        );
        assert_eq!(sockets.descriptors.keys().collect::<Vec<_>>(), ["control"]);
    }

    #[test]
    fn kind_and_credentials_are_those_of_the_manifest() {
        use rustix::net::sockopt::{socket_acceptconn, socket_passcred, socket_type};
        let container = "a:1.0.0".parse().unwrap();
        for (kind, expected) in [
            (SocketKind::Stream, SocketType::STREAM),
            (SocketKind::Datagram, SocketType::DGRAM),
            (SocketKind::SeqPacket, SocketType::SEQPACKET),
        ] {
            for passcred in [None, Some(false), Some(true)] {
                let dir = tempfile::tempdir().unwrap();
                let mut sockets = manifest(kind);
                sockets.get_mut("control").unwrap().passcred = passcred;
                let bound = Sockets::bind(dir.path(), &container, (2000, 2001), &sockets).unwrap();
                let socket = &bound.descriptors["control"];
                assert_eq!(socket_type(socket).unwrap(), expected);
                assert!(!socket_acceptconn(socket).unwrap());
                assert_eq!(socket_passcred(socket).unwrap(), passcred == Some(true));
            }
        }
    }

    #[test]
    fn both_names_lead_to_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        let sockets = bind(dir.path(), SocketKind::Stream);
        listen(&sockets);
        UnixStream::connect(dir.path().join("a:1.0.0/control")).unwrap();
        UnixStream::connect(dir.path().join(".all/a:1.0.0:control")).unwrap();
    }

    #[test]
    fn datagram_socket_takes_messages() {
        let dir = tempfile::tempdir().unwrap();
        let _sockets = bind(dir.path(), SocketKind::Datagram);
        let client = UnixDatagram::unbound().unwrap();
        client
            .send_to(b"x", dir.path().join(".all/a:1.0.0:control"))
            .unwrap();
    }

    #[test]
    fn names_go_with_the_container() {
        let dir = tempfile::tempdir().unwrap();
        let names = bind(dir.path(), SocketKind::SeqPacket).names;
        names.remove().unwrap();
        let left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(left, [".all"]);
        assert_eq!(
            std::fs::read_dir(dir.path().join(".all")).unwrap().count(),
            0
        );
    }

    #[test]
    fn stale_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::mem::forget(bind(dir.path(), SocketKind::Stream).names);
        let sockets = bind(dir.path(), SocketKind::Stream);
        listen(&sockets);
        UnixStream::connect(dir.path().join(".all/a:1.0.0:control")).unwrap();
    }

    #[test]
    fn reset_takes_stale_sockets_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        std::mem::forget(bind(dir.path(), SocketKind::Stream).names);
        std::fs::create_dir(dir.path().join("other")).unwrap();
        std::fs::create_dir(dir.path().join("b:1.0.0")).unwrap();
        std::fs::write(dir.path().join("b:1.0.0/file"), "").unwrap();
        reset(dir.path()).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, [".all", "b:1.0.0", "other"]);
        assert!(dir.path().join("b:1.0.0/file").exists());
        assert_eq!(
            std::fs::read_dir(dir.path().join(".all")).unwrap().count(),
            0
        );
    }

    #[test]
    fn reset_leaves_what_is_no_directory_alone() {
        let dir = tempfile::tempdir().unwrap();
        let victim = tempfile::tempdir().unwrap();
        std::mem::forget(bind(dir.path(), SocketKind::Stream).names);
        let theirs = std::os::unix::net::UnixListener::bind(victim.path().join("socket")).unwrap();
        std::fs::write(dir.path().join("0:1.0.0"), "").unwrap();
        std::os::unix::fs::symlink(victim.path(), dir.path().join("b:1.0.0")).unwrap();
        std::os::unix::fs::symlink("b:1.0.0", dir.path().join("c:1.0.0")).unwrap();
        reset(dir.path()).unwrap();
        let left = ["0:1.0.0", "b:1.0.0", "c:1.0.0"];
        for name in left {
            dir.path().join(name).symlink_metadata().unwrap();
        }
        assert!(!dir.path().join("a:1.0.0").exists());
        UnixStream::connect(victim.path().join("socket")).unwrap();
        drop(theirs);
        let owner = (0, 0);
        let taken = Sockets::bind(
            dir.path(),
            &"b:1.0.0".parse().unwrap(),
            owner,
            &manifest(SocketKind::Stream),
        );
        match taken {
            Err(SocketError { source, .. }) => assert!(is_no_directory(&source), "{source}"),
            Ok(bound) => panic!("{bound:?}"),
        }
    }
}
