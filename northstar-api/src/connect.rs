//! The handshake.

use semver::Version;
use serde::{Deserialize, Serialize};

/// The first message of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect {
    /// The protocol version of the client.
    pub version: Version,
    /// Whether notifications are to be sent on this connection.
    pub subscribe_notifications: bool,
}

/// The server takes the client; `null` on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectAck;

/// The server refuses the client and closes the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectNack {
    /// The client's version is not understood.
    InvalidProtocolVersion {
        /// The version of the server.
        version: Version,
    },
    /// The client wants notifications without the permission for them.
    PermissionDenied,
}
