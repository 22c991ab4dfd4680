//! The handshake.

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::{Extensions, Granted};

/// The first message of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Connect {
    /// The protocol version of the client.
    pub version: Version,
    /// Whether notifications are to be sent on this connection.
    pub subscribe_notifications: bool,
    /// What the client wants beyond protocol 0.9.2. Absent or `null`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Box<Extensions>>,
}

impl Connect {
    /// Protocol 0.9.2 and nothing else.
    #[must_use]
    pub fn new(subscribe_notifications: bool) -> Connect {
        Connect {
            version: crate::VERSION,
            subscribe_notifications,
            extensions: None,
        }
    }
}

/// The server takes the client; `null` on the wire unless the client asked for extensions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectAck(pub Option<Box<Granted>>);

/// The server refuses the client and closes the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ConnectNack {
    /// The client's version is not understood.
    InvalidProtocolVersion {
        /// The version of the server.
        version: Version,
    },
    /// The client wants notifications without the permission for them.
    PermissionDenied,
    /// An extension that the client asked for has an impossible value.
    InvalidExtension {
        /// Name of the extension.
        extension: String,
        /// What is wrong.
        cause: String,
    },
}
