//! Unix sockets: made so that nobody connects who may not, in place of those that a dead daemon has left.

use super::{
    received::refuse_descriptors,
    socket::{Bound, ListenError},
};
use rustix::{
    fs::{FlockOperation, Mode, chmod, fchmod, flock, fstat, lstat},
    net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType, listen, socket_with},
};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    net::UnixListener,
    time::{Instant, sleep},
};
use tracing::warn;

/// Connections that wait for accept(2).
const BACKLOG: i32 = 1024;
/// How long another daemon may take to make the same socket.
const LOCK_TIME: Duration = Duration::from_secs(5);
/// How often to look whether it has.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Which file a socket is, so that only this one is removed.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, unless it is another's by now.
    pub(super) fn remove(&self) {
        let ours =
            lstat(&self.path).is_ok_and(|found| (found.st_dev, found.st_ino) == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Keeps others from making the same socket: a locked file beside it, which is removed before the lock is given back.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    async fn take(socket: &Path) -> Result<Lock, ListenError> {
        let failed = |operation| {
            move |source: io::Error| ListenError::Unix {
                operation,
                path: socket.to_owned(),
                source,
            }
        };
        let mut name = OsString::from(".");
        name.push(socket.file_name().unwrap_or_default());
        name.push(".lock");
        let path = socket.with_file_name(name);
        let deadline = Instant::now() + LOCK_TIME;
        loop {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC)
                .open(&path)
                .map_err(failed("make the lock of"))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let locked = fstat(&file).map_err(io::Error::from);
                    let locked = locked.map_err(failed("look at the lock of"))?;
                    let same = lstat(&path).is_ok_and(|found| {
                        (found.st_dev, found.st_ino) == (locked.st_dev, locked.st_ino)
                    });
                    if same {
                        return Ok(Lock { path, _file: file });
                    }
                    // Whoever had it has removed it: it locks nothing any more.
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(error) => return Err(failed("lock")(error.into())),
            }
            if Instant::now() >= deadline {
                let path = socket.to_owned();
                return Err(ListenError::InUse { path });
            }
            sleep(LOCK_PAUSE).await;
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// A Unix socket with exactly `mode`.
///
/// connect(2) succeeds only after listen(2), and listen comes last: until the mode is what it should be, nobody gets
/// in, and because the mode is set on the socket before bind(2) gives it a name, the file is never more open than
/// `mode` either.
pub(super) async fn bind(path: &Path, mode: u32) -> Result<Bound, ListenError> {
    let failed = |operation| {
        move |source: io::Error| ListenError::Unix {
            operation,
            path: path.to_owned(),
            source,
        }
    };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed("create the directory of"))?;
    }
    // Until somebody answers connect(2): who comes second then finds the socket in use, and never a stale one.
    let _lock = Lock::take(path).await?;
    remove_stale(path)?;

    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let socket = socket
        .map_err(io::Error::from)
        .map_err(failed("make a socket for"))?;
    // Before anybody can connect: who is accepted inherits it.
    refuse_descriptors(socket.as_fd());
    let mode = Mode::from_raw_mode(mode);
    fchmod(&socket, mode)
        .map_err(io::Error::from)
        .map_err(failed("set the mode of"))?;
    let name = SocketAddrUnix::new(path)
        .map_err(io::Error::from)
        .map_err(failed("bind"))?;
    net::bind(&socket, &name)
        .map_err(io::Error::from)
        .map_err(failed("bind"))?;
    // The umask has taken away what it does.
    chmod(path, mode)
        .map_err(io::Error::from)
        .map_err(failed("set the mode of"))?;
    let file = lstat(path)
        .map_err(io::Error::from)
        .map_err(failed("find"))?;
    listen(&socket, BACKLOG)
        .map_err(io::Error::from)
        .map_err(failed("listen on"))?;

    let listener = std::os::unix::net::UnixListener::from(socket);
    let listener = UnixListener::from_std(listener).map_err(failed("listen on"))?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: (file.st_dev, file.st_ino),
    };
    Ok(Bound::Unix(listener, file))
}

/// Removes a socket that nobody listens on any more. Anything else at the path stays and is an error.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let failed = |operation| {
        move |source: io::Error| ListenError::Unix {
            operation,
            path: path.to_owned(),
            source,
        }
    };
    let owned = || path.to_owned();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at")(error)),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(ListenError::NoSocket { path: owned() });
        }
        Ok(_) => {}
    }
    match knock(path) {
        Err(rustix::io::Errno::CONNREFUSED) => {}
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        // Whatever else it answers, somebody is there.
        Ok(()) | Err(_) => return Err(ListenError::InUse { path: owned() }),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove the stale")(error))
        }
        _ => Ok(()),
    }
}

/// Connects without waiting: somebody may listen who does not accept, and has as many waiting as may wait.
fn knock(path: &Path) -> rustix::io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    net::connect(&socket, &SocketAddrUnix::new(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream as StdUnixStream;

    /// Of many that come at once over a stale socket, one gets it, and nobody takes it away again.
    #[tokio::test(flavor = "multi_thread")]
    async fn one_of_many_gets_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console");
        for _ in 0..20 {
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
            let mut racing = tokio::task::JoinSet::new();
            for _ in 0..8 {
                let path = path.clone();
                racing.spawn(async move { bind(&path, 0o600).await });
            }
            let mut won = Vec::new();
            for result in racing.join_all().await {
                match result {
                    Ok(bound) => won.push(bound),
                    Err(ListenError::InUse { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            assert_eq!(won.len(), 1);
            StdUnixStream::connect(&path).unwrap();
            won[0].remove();
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_stays_is_somebody_elses() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console");
        let lock = Lock::take(&path).await.unwrap();
        assert!(matches!(
            bind(&path, 0o600).await,
            Err(ListenError::InUse { .. })
        ));
        drop(lock);
        assert!(bind(&path, 0o600).await.is_ok());
    }

    #[tokio::test]
    async fn who_listens_and_does_not_accept_keeps_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console");
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        );
        let socket = socket.unwrap();
        net::bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&socket, 0).unwrap();
        // One more than may wait: the next one that is ready to wait would do so for ever.
        let _waiting = StdUnixStream::connect(&path).unwrap();
        assert_eq!(knock(&path), Err(rustix::io::Errno::AGAIN));
        assert!(matches!(
            bind(&path, 0o600).await,
            Err(ListenError::InUse { .. })
        ));
    }
}
