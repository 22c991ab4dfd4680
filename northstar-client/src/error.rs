//! What can go wrong.

use std::{io, sync::Arc, time::Duration};

use northstar_api::{ConnectNack, Extension, Request, Response, codec::CodecError};
use semver::Version;
use thiserror::Error;

use crate::{Endpoint, TlsError, TlsFault};

/// Why there is no connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody listens there, or it cannot be reached.
    #[error("cannot connect to {endpoint}")]
    Unreachable {
        /// Where it was tried.
        endpoint: Endpoint,
        /// The error of connect(2) or of the name service.
        source: io::Error,
    },
    /// Connecting and the handshake took too long.
    #[error("no connection within {timeout:?}")]
    Timeout {
        /// The time that was given.
        timeout: Duration,
    },
    /// The server speaks another version of the protocol.
    #[error("the server speaks protocol version {version}")]
    Version {
        /// The version of the server.
        version: Version,
    },
    /// The server refuses notifications to this client.
    #[error("the server does not permit notifications")]
    PermissionDenied,
    /// The server refuses the value of an extension.
    #[error("the server refuses the extension `{extension}`: {cause}")]
    Extension {
        /// Name of the extension.
        extension: String,
        /// What is wrong.
        cause: String,
    },
    /// The handshake failed.
    #[error("the handshake failed")]
    Handshake(#[from] CodecError),
    /// The server closed the connection instead of answering.
    #[error("the server closed the connection during the handshake")]
    Closed,
    /// The server sent something else than an answer to `connect`.
    #[error("the server answered the handshake with something else")]
    Unexpected,
    /// The certificates of this client cannot be used.
    #[error(transparent)]
    Certificates(#[from] TlsError),
    /// There is no TLS connection: the server speaks no TLS, or is not who it has to be.
    #[error("no TLS connection to {endpoint}")]
    Tls {
        /// Where it was tried.
        endpoint: Endpoint,
        /// What the handshake failed with.
        source: io::Error,
    },
    /// The server refuses the certificate of this client; the source says why.
    #[error("the server refuses the certificate of this client")]
    CertificateRefused(#[source] io::Error),
    /// There is no connection in the environment.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
}

impl ConnectError {
    /// What a TLS handshake failed for: of [`ConnectError::Tls`] the certificate of the server, of
    /// [`ConnectError::CertificateRefused`] that of this client. `None` if it is something else.
    #[must_use]
    pub fn tls_fault(&self) -> Option<TlsFault> {
        match self {
            ConnectError::Tls { source, .. } | ConnectError::CertificateRefused(source) => {
                TlsFault::of(source)
            }
            _ => None,
        }
    }
}

impl From<ConnectNack> for ConnectError {
    fn from(nack: ConnectNack) -> ConnectError {
        match nack {
            ConnectNack::InvalidProtocolVersion { version } => ConnectError::Version { version },
            ConnectNack::PermissionDenied => ConnectError::PermissionDenied,
            ConnectNack::InvalidExtension { extension, cause } => {
                ConnectError::Extension { extension, cause }
            }
        }
    }
}

/// Why `NORTHSTAR_CONSOLE` is of no use.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// The variable is not set: the container has no console.
    #[error("NORTHSTAR_CONSOLE is not set: the manifest of the container gives it no console")]
    NotSet,
    /// The variable is not a number.
    #[error("NORTHSTAR_CONSOLE is not the number of a descriptor: {value:?}")]
    NotANumber {
        /// The value of the variable.
        value: String,
    },
    /// The descriptor is not open, or was taken before.
    #[error("descriptor {number} of NORTHSTAR_CONSOLE cannot be taken")]
    Descriptor {
        /// The number.
        number: i32,
        /// Why not.
        source: northstar_sys::Error,
    },
    /// The descriptor is not a Unix socket.
    #[error("descriptor {number} of NORTHSTAR_CONSOLE is not a Unix socket")]
    NotASocket {
        /// The number.
        number: i32,
        /// The error of the socket call.
        source: io::Error,
    },
}

/// Why there is no socket in the environment.
#[derive(Debug, Error)]
#[error(
    "{variable} is not the number of a descriptor that can be taken: does the manifest have this socket?"
)]
pub struct SocketError {
    /// The variable that should have its descriptor.
    pub variable: String,
    /// Why the descriptor cannot be taken, if the variable is a number.
    #[source]
    pub source: Option<northstar_sys::Error>,
}

/// Why a request was not done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The server says why.
    #[error(transparent)]
    Server(#[from] northstar_api::Error),
    /// This client must not make the request.
    #[error("permission denied")]
    PermissionDenied(Box<Request>),
    /// The connection is gone. Whether the request was done is not known.
    #[error("the connection is closed")]
    Closed(#[source] Arc<Disconnected>),
    /// The server answered something else.
    #[error("the answer belongs to another request")]
    Unexpected(Box<Response>),
    /// No answer in time; see [`Client::with_timeout`](crate::Client::with_timeout).
    #[error("no answer within {timeout:?}")]
    Timeout {
        /// The time that was given.
        timeout: Duration,
    },
    /// The server has not granted what the request needs.
    #[error("the server has not granted the extension {extension:?}")]
    NotGranted {
        /// The extension.
        extension: Extension,
    },
    /// The package cannot be read.
    #[error("cannot read {path}")]
    Package {
        /// The file.
        path: std::path::PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Why the connection is gone.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Disconnected {
    /// The server closed it.
    #[error("the server closed the connection")]
    ByServer,
    /// The server sent what is no message, or the stream failed.
    #[error("the connection cannot be read")]
    Read(#[source] CodecError),
    /// The stream failed.
    #[error("the connection cannot be written")]
    Write(#[source] CodecError),
    /// The server sent an answer without a request, or what only clients send.
    #[error("the server sent a message that is out of place")]
    OutOfPlace,
    /// The server answered an install before it had the whole package. It cannot be told any more
    /// where the next request would start.
    #[error("the server refused a package before it was sent as a whole")]
    InstallRefused,
    /// The package that was being sent could not be read.
    #[error("the package cannot be read")]
    Body(#[source] io::Error),
    /// The package that was being sent ended early.
    #[error("the package is {missing} bytes shorter than announced")]
    BodyTooShort {
        /// How many bytes are missing.
        missing: u64,
    },
    /// The runtime that the client lived in has ended.
    #[error("the task of the connection has ended")]
    Aborted,
}
