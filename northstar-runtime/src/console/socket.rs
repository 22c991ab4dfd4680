//! The sockets of listeners: how they are made, so that nobody connects who may not, and what accepting one gives.

use super::{
    peer::{Origin, Peer},
    tls,
};
use crate::config::{Address, tls::FileError};
use rustix::{
    fs::{Mode, chmod, fchmod, lstat},
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
        sockopt::{set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl},
    },
};
use std::{
    fmt, fs, io,
    net::{IpAddr, SocketAddr},
    os::unix::{fs::FileTypeExt, net::UnixStream as StdUnixStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tracing::{debug, warn};

/// Connections that wait for accept(2).
const BACKLOG: i32 = 1024;
/// After this time of silence TCP asks whether the client is still there, and again in this interval (tcp(7)).
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Why a console cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The host's name cannot be resolved.
    #[error("cannot resolve {host}")]
    Resolve {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The host's name stands for no address.
    #[error("{host} has no address")]
    NoAddress {
        /// The host.
        host: String,
    },
    /// The host's name stands for an address that others can reach.
    #[error("{host} is {address}: a TCP console is allowed on loopback only")]
    NotLoopback {
        /// The host.
        host: String,
        /// The address.
        address: IpAddr,
    },
    /// A TCP address cannot be bound.
    #[error("cannot listen on {address}")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is something else than a socket at the path.
    #[error("{} exists and is no socket", path.display())]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// Somebody else listens on the path.
    #[error("{} is in use", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// A file of a console over TLS is not usable.
    #[error("the console on {url} cannot be served")]
    Tls {
        /// Where it should be.
        url: String,
        /// Which file, and what is wrong with it.
        #[source]
        source: FileError,
    },
    /// A Unix socket cannot be made.
    #[error("{operation} {}", path.display())]
    Unix {
        /// What was tried.
        operation: &'static str,
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Bound {
    Tcp(TcpListener, SocketAddr),
    Tls(TcpListener, SocketAddr, Arc<tls::Acceptor>),
    Unix(UnixListener, SocketFile),
}

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(TcpStream, Arc<tls::Acceptor>),
    Unix(UnixStream),
}

/// Which file a socket is, so that only this one is removed.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

/// Makes the sockets of one address.
pub(super) async fn bind_all(address: &Address) -> Result<Vec<Bound>, ListenError> {
    match address {
        Address::Tcp { host, port } => {
            let sockets = tcp(host, *port, Reach::Loopback).await?;
            let bound = |(socket, address)| Bound::Tcp(socket, address);
            Ok(sockets.into_iter().map(bound).collect())
        }
        Address::Tls(tls) => {
            let acceptor = tls::Acceptor::new(tls).map_err(|source| ListenError::Tls {
                url: format!("tls://{}:{}", tls.host, tls.port),
                source,
            })?;
            let acceptor = Arc::new(acceptor);
            let sockets = tcp(&tls.host, tls.port, Reach::Network).await?;
            let bound = |(socket, address)| Bound::Tls(socket, address, Arc::clone(&acceptor));
            Ok(sockets.into_iter().map(bound).collect())
        }
        Address::Unix { path, mode } => Ok(vec![unix(path, *mode)?]),
    }
}

/// Which interfaces an address may be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Loopback,
    Network,
}

/// One socket for each address of the host. One that the machine does not have, like `::1` where IPv6 is off, is left
/// out if there is another.
async fn tcp(
    host: &str,
    port: u16,
    reach: Reach,
) -> Result<Vec<(TcpListener, SocketAddr)>, ListenError> {
    let resolved = tokio::net::lookup_host((host, port)).await;
    let resolved = resolved.map_err(|source| ListenError::Resolve {
        host: host.to_owned(),
        source,
    })?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in resolved {
        if reach == Reach::Loopback && !address.ip().to_canonical().is_loopback() {
            let (host, address) = (host.to_owned(), address.ip());
            return Err(ListenError::NotLoopback { host, address });
        }
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let mut bound: Vec<(TcpListener, SocketAddr)> = Vec::new();
    let mut absent = None;
    for mut address in addresses {
        // With any free port, all addresses get the same.
        if let (0, Some((_, first))) = (port, bound.first()) {
            address.set_port(first.port());
        }
        match TcpListener::bind(address)
            .await
            .and_then(|socket| Ok((socket.local_addr()?, socket)))
        {
            Ok((address, socket)) => bound.push((socket, address)),
            Err(source) if is_absent(&source) => {
                absent = Some(ListenError::Tcp { address, source })
            }
            Err(source) => return Err(ListenError::Tcp { address, source }),
        }
    }
    match (bound.is_empty(), absent) {
        (true, Some(error)) => Err(error),
        (true, None) => Err(ListenError::NoAddress {
            host: host.to_owned(),
        }),
        (false, Some(error)) => {
            warn!("{error}: this machine does not have the address");
            Ok(bound)
        }
        (false, None) => Ok(bound),
    }
}

fn is_absent(error: &io::Error) -> bool {
    let errno = error
        .raw_os_error()
        .map(rustix::io::Errno::from_raw_os_error);
    matches!(
        errno,
        Some(rustix::io::Errno::ADDRNOTAVAIL | rustix::io::Errno::AFNOSUPPORT)
    )
}

/// A Unix socket with exactly `mode`.
///
/// connect(2) succeeds only after listen(2), and listen comes last: until the mode is what it should be, nobody gets
/// in, and because the mode is set on the socket before bind(2) gives it a name, the file is never more open than
/// `mode` either.
fn unix(path: &Path, mode: u32) -> Result<Bound, ListenError> {
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
    remove_stale(path)?;

    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let socket = socket
        .map_err(io::Error::from)
        .map_err(failed("make a socket for"))?;
    let mode = Mode::from_raw_mode(mode);
    fchmod(&socket, mode)
        .map_err(io::Error::from)
        .map_err(failed("set the mode of"))?;
    let name = SocketAddrUnix::new(path)
        .map_err(io::Error::from)
        .map_err(failed("bind"))?;
    bind(&socket, &name)
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
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Whatever else it answers, somebody is there.
        Ok(_) | Err(_) => return Err(ListenError::InUse { path: owned() }),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove the stale")(error))
        }
        _ => Ok(()),
    }
}

impl Bound {
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Bound::Tcp(listener, _) => {
                let (stream, address) = listener.accept().await?;
                if let Err(error) = prepare(&stream) {
                    debug!("console on {self}: {address}: {error}");
                }
                Ok((Stream::Tcp(stream), Peer::Tcp(address)))
            }
            Bound::Tls(listener, _, acceptor) => {
                let (stream, address) = listener.accept().await?;
                if let Err(error) = prepare(&stream) {
                    debug!("console on {self}: {address}: {error}");
                }
                let stream = Stream::Tls(stream, Arc::clone(acceptor));
                Ok((stream, Peer::Tcp(address)))
            }
            Bound::Unix(listener, _) => {
                // The address is the name the client gave its socket: of no interest.
                let (stream, _) = listener.accept().await?;
                let peer = Peer::process(&stream.peer_cred()?);
                Ok((Stream::Unix(stream), peer))
            }
        }
    }

    /// The URL under which it can be reached.
    pub(super) fn url(&self) -> String {
        match self {
            Bound::Tcp(_, address) => format!("tcp://{address}"),
            Bound::Tls(_, address, _) => format!("tls://{address}"),
            Bound::Unix(_, file) => format!("unix://{}", file.path.display()),
        }
    }

    /// Removes the file of a Unix socket, unless it is another's by now.
    pub(super) fn remove(&self) {
        let Bound::Unix(_, file) = self else {
            return;
        };
        let ours =
            lstat(&file.path).is_ok_and(|found| (found.st_dev, found.st_ino) == file.identity);
        if ours && let Err(error) = fs::remove_file(&file.path) {
            warn!("cannot remove {}: {error}", file.path.display());
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

/// Small answers go out at once, and a client that is gone without a word is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    set_socket_keepalive(stream, true)?;
    set_tcp_keepidle(stream, KEEPALIVE)?;
    set_tcp_keepintvl(stream, KEEPALIVE)?;
    Ok(())
}

impl Peer {
    /// Which limit of connections it counts against; a container has one connection of its own.
    pub(super) fn origin(&self) -> Option<Origin> {
        match self {
            Peer::Tcp(address) | Peer::Tls { address, .. } => {
                Some(Origin::Address(address.ip().to_canonical()))
            }
            Peer::Process { uid, .. } => Some(Origin::User(*uid)),
            Peer::Container(_) => None,
        }
    }
}
