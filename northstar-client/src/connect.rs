//! Opening a connection.

use std::{env, os::unix::net::UnixStream as StdUnixStream, time::Duration};

use bytes::BytesMut;
use futures::StreamExt;
use northstar_api::{
    Connect, Message,
    codec::{self, CodecError, LineSplitter, MAX_RESPONSE_SIZE},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time,
};
use tokio_util::codec::FramedRead;

use crate::{ConnectError, Endpoint, EnvironmentError};

/// Variable in which a container finds the number of its console's descriptor.
pub const VARIABLE: &str = "NORTHSTAR_CONSOLE";

/// How to connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long connecting and the handshake may take.
    pub timeout: Duration,
    /// How many notifications are kept for a reader that falls behind; `None` subscribes to none.
    pub notifications: Option<usize>,
}

impl Default for Options {
    /// 10 s and no notifications.
    fn default() -> Options {
        Options {
            timeout: Duration::from_secs(10),
            notifications: None,
        }
    }
}

/// A stream that can be a connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to `endpoint`, without the handshake.
pub(crate) async fn open(endpoint: &Endpoint) -> Result<Box<dyn Stream>, ConnectError> {
    let unreachable = |source| ConnectError::Unreachable {
        endpoint: endpoint.clone(),
        source,
    };
    match endpoint {
        Endpoint::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port))
                .await
                .map_err(unreachable)?;
            // Requests are small and each waits for its answer.
            stream.set_nodelay(true).map_err(unreachable)?;
            Ok(Box::new(stream))
        }
        Endpoint::Unix(path) => Ok(Box::new(
            UnixStream::connect(path).await.map_err(unreachable)?,
        )),
    }
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

/// Sends `connect` and waits for the answer.
pub(crate) async fn handshake<R, W>(
    reader: R,
    writer: &mut W,
    options: &Options,
) -> Result<FramedRead<R, LineSplitter>, ConnectError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let connect = Connect::new(options.notifications.is_some());
    let mut line = BytesMut::new();
    codec::encode(&Message::Connect(connect), &mut line)?;
    writer.write_all(&line).await.map_err(CodecError::Io)?;

    let mut reader = FramedRead::new(reader, LineSplitter::new(MAX_RESPONSE_SIZE));
    let line = reader.next().await.ok_or(ConnectError::Closed)??;
    match codec::decode(&line)? {
        Message::ConnectAck(_) => Ok(reader),
        Message::ConnectNack(nack) => Err(nack.into()),
        _ => Err(ConnectError::Unexpected),
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
