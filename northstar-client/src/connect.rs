//! Opening a connection.

use std::{
    env, io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use futures::StreamExt;
use northstar_api::{
    Connect, ConnectAck, Granted, Message,
    codec::{self, CodecError, LineSplitter, MAX_RESPONSE_SIZE},
};
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    net::{TcpStream, UnixStream},
    time,
};
use tokio_rustls::TlsConnector;
use tokio_util::codec::FramedRead;

use crate::{ConnectError, Endpoint, EnvironmentError, Options, SocketError, Tls, TlsError};

/// Variable in which a container finds the number of its console's descriptor.
pub const VARIABLE: &str = "NORTHSTAR_CONSOLE";

/// How the variable begins in which a container finds the descriptor of one of its sockets; the socket's name follows.
const SOCKET_VARIABLE: &str = "NORTHSTAR_SOCKET_";

/// After this time of silence TCP asks whether the server is still there, and again in this interval (tcp(7)).
const KEEPALIVE: Duration = Duration::from_secs(20);

/// A stream that can be a connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to `endpoint`, without the handshake.
pub(crate) async fn open(
    endpoint: &Endpoint,
    tls: Option<&Tls>,
) -> Result<Box<dyn Stream>, ConnectError> {
    let unreachable = |source| ConnectError::Unreachable {
        endpoint: endpoint.clone(),
        source,
    };
    match endpoint {
        Endpoint::Tcp { host, port } => Ok(Box::new(tcp(host, *port).await.map_err(unreachable)?)),
        Endpoint::Tls { host, port } => {
            // What is wrong here is told before anybody is bothered.
            let tls = tls.ok_or(TlsError::NoCertificates)?;
            let (name, config) = (tls.name(host)?, tls.config()?);
            let stream = tcp(host, *port).await.map_err(unreachable)?;
            let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
            let failed = |source| ConnectError::Tls {
                endpoint: endpoint.clone(),
                source,
            };
            Ok(Box::new(connected.await.map_err(failed)?))
        }
        Endpoint::Unix(path) => Ok(Box::new(
            UnixStream::connect(path).await.map_err(unreachable)?,
        )),
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    // Requests are small and each waits for its answer.
    stream.set_nodelay(true)?;
    // Who only listens would never notice that the server is gone without a word.
    set_socket_keepalive(&stream, true)?;
    set_tcp_keepidle(&stream, KEEPALIVE)?;
    set_tcp_keepintvl(&stream, KEEPALIVE)?;
    Ok(stream)
}

/// Takes a socket that the manifest of this container names in `sockets`, which the runtime has bound. One of type
/// `stream` or `seq_packet` listens already. This works once for each socket.
///
/// # Errors
///
/// If there is no such socket in the environment.
pub fn socket(name: &str) -> Result<OwnedFd, SocketError> {
    let variable = format!("{SOCKET_VARIABLE}{name}");
    let error = |source| SocketError {
        variable: variable.clone(),
        source,
    };
    let number = env::var(&variable).map_err(|_| error(None))?;
    let number = number.parse().map_err(|_| error(None))?;
    northstar_sys::fd::adopt(number).map_err(|source| error(Some(source)))
}

/// Takes the stream that the environment names.
pub(crate) fn from_env() -> Result<UnixStream, EnvironmentError> {
    let value = env::var_os(VARIABLE).ok_or(EnvironmentError::NotSet)?;
    let number: i32 = value
        .to_str()
        .and_then(|value| value.parse().ok())
        .ok_or_else(|| EnvironmentError::NotANumber {
            value: value.to_string_lossy().into_owned(),
        })?;
    let descriptor = northstar_sys::fd::adopt(number)
        .map_err(|source| EnvironmentError::Descriptor { number, source })?;
    let stream = StdUnixStream::from(descriptor);
    let not_a_socket = |source| EnvironmentError::NotASocket { number, source };
    // Asking for the address fails for everything else than a Unix socket.
    stream.local_addr().map_err(not_a_socket)?;
    stream.set_nonblocking(true).map_err(not_a_socket)?;
    UnixStream::from_std(stream).map_err(not_a_socket)
}

/// A connection after the handshake.
pub(crate) struct Greeted<S> {
    pub(crate) reader: FramedRead<ReadHalf<S>, LineSplitter>,
    pub(crate) writer: WriteHalf<S>,
    pub(crate) granted: Option<Box<Granted>>,
}

/// Sends `connect` and waits for the answer.
pub(crate) async fn handshake<S>(stream: S, options: &Options) -> Result<Greeted<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (reader, mut writer) = tokio::io::split(stream);
    let connect = Connect {
        extensions: options.extensions.clone().map(Box::new),
        ..Connect::new(options.notifications.is_some())
    };
    let mut line = BytesMut::new();
    codec::encode(&Message::Connect(connect), &mut line)?;
    let sent = async {
        writer.write_all(&line).await?;
        writer.flush().await
    };
    // A server that refuses the certificate may close before it has read this, and has said why.
    let sent = sent.await.map_err(refused);

    let mut reader = FramedRead::new(reader, LineSplitter::new(MAX_RESPONSE_SIZE));
    let line = match reader.next().await {
        Some(Ok(line)) => line,
        Some(Err(CodecError::Io(error))) => return Err(refused(error)),
        Some(Err(error)) => return Err(error.into()),
        None => return Err(sent.err().unwrap_or(ConnectError::Closed)),
    };
    match codec::decode(&line)? {
        Message::ConnectAck(ConnectAck(granted)) => Ok(Greeted {
            reader,
            writer,
            granted,
        }),
        Message::ConnectNack(nack) => Err(nack.into()),
        _ => Err(ConnectError::Unexpected),
    }
}

/// In TLS 1.3 a server judges the certificate of a client when that has done its part of the handshake already, so that
/// the refusal is the first thing the client reads (RFC 8446, 4.4.2.4).
fn refused(error: io::Error) -> ConnectError {
    let tls = error.get_ref().and_then(|error| error.downcast_ref());
    match tls {
        Some(rustls::Error::AlertReceived(_)) => ConnectError::CertificateRefused(error),
        _ => CodecError::Io(error).into(),
    }
}

/// `future`, but not for longer than `timeout`.
pub(crate) async fn within<T>(
    timeout: Duration,
    future: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    time::timeout(timeout, future)
        .await
        .unwrap_or(Err(ConnectError::Timeout { timeout }))
}
