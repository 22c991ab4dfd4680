//! The sockets of listeners: how they are made, so that nobody connects who may not, and what accepting one gives.

use super::{
    peer::{Origin, Peer},
    tls,
    unix::{self, SocketFile},
};
use crate::config::{Address, tls::FileError};
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl};
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tracing::{debug, warn};

/// After this time of silence TCP asks whether the client is still there, and again in this interval (tcp(7)).
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Bytes of memory the kernel may keep for what a client has sent and nobody has read (socket(7), SO_RCVBUF; less where
/// `net.core.rmem_max` is). By itself it would give a fast sender up to 32 MiB, and copy out of cold memory.
const RECEIVE_BUFFER: u32 = 1024 * 1024;
/// Connections that wait to be accepted; the kernel's own limit is net.core.somaxconn (listen(2)).
const BACKLOG: u32 = 1024;

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
        source: Box<FileError>,
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
                source: Box::new(source),
            })?;
            let acceptor = Arc::new(acceptor);
            let sockets = tcp(&tls.host, tls.port, Reach::Network).await?;
            let bound = |(socket, address)| Bound::Tls(socket, address, Arc::clone(&acceptor));
            Ok(sockets.into_iter().map(bound).collect())
        }
        Address::Unix { path, mode } => Ok(vec![unix::bind(path, *mode).await?]),
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
        match listen(address).and_then(|socket| Ok((socket.local_addr()?, socket))) {
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

/// A listener whose connections have a receive buffer of [`RECEIVE_BUFFER`]: they get it from here (tcp(7)).
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // The connections of a daemon that has just ended are not in the way.
    socket.set_reuseaddr(true)?;
    // The kernel doubles it, for its own records.
    socket.set_recv_buffer_size(RECEIVE_BUFFER / 2)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
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
            Bound::Unix(_, file) => format!("unix://{}", file.path().display()),
        }
    }

    /// Removes the file of a Unix socket, unless it is another's by now.
    pub(super) fn remove(&self) {
        if let Bound::Unix(_, file) = self {
            file.remove();
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::sockopt::socket_recv_buffer_size;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_client_that_nobody_reads_from_does_not_get_more_and_more_memory() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let before = socket_recv_buffer_size(&server).unwrap();
        assert!(before <= RECEIVE_BUFFER as usize, "{before}");
        let flood = vec![0; 64 * 1024 * 1024];
        let sent = tokio::time::timeout(Duration::from_secs(1), client.write_all(&flood)).await;
        assert!(sent.is_err(), "{sent:?}");
        assert_eq!(socket_recv_buffer_size(&server).unwrap(), before);
    }
}
