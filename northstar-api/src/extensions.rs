//! What a client may ask for in `connect` beyond protocol 0.9.2, and what it is granted.
//!
//! A client that asks for nothing never sees anything of this. An extension that the server does not know is not an
//! error: it is missing in what is granted.

use serde::{Deserialize, Serialize};

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Extensions {
    /// Requests may carry an id, which their answer repeats; such requests do not wait for each other.
    #[serde(skip_serializing_if = "is_false")]
    pub ids: bool,
    /// Requests with an id tell their progress and can be cancelled. Needs `ids`.
    #[serde(skip_serializing_if = "is_false")]
    pub jobs: bool,
    /// Notifications carry numbers, and a client that reads too slowly is told what it missed.
    #[serde(skip_serializing_if = "is_false")]
    pub sequence: bool,
    /// More notifications, typed errors, reasons of exits, the whole manifest, statistics, what repositories are.
    #[serde(skip_serializing_if = "is_false")]
    pub details: bool,
    /// Which notifications to send. Without it: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// Where to go on with the notifications. Needs `sequence`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Extensions {
    /// Everything that changes no notification's choice: ids, jobs, sequence and details.
    #[must_use]
    pub fn all() -> Extensions {
        Extensions {
            ids: true,
            jobs: true,
            sequence: true,
            details: true,
            filter: None,
            resume: None,
        }
    }
}

/// Which notifications a client wants. Evaluated in the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Patterns with `*`, `?` and `[..]` for `name:version` or for the name alone. Empty: every container.
    /// Notifications about no container pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<String>,
    /// Kinds of notifications. Empty: every kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<Kind>,
}

/// A kind of notification, by its key on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A container was started.
    Started,
    /// A container has ended.
    Exit,
    /// A container was installed.
    Install,
    /// A container was uninstalled.
    Uninstall,
    /// A control group reports something.
    CGroup,
    /// An image was mounted.
    #[serde(alias = "mount")]
    Mounted,
    /// An image was unmounted.
    #[serde(alias = "umount")]
    Umounted,
    /// The daemon ends.
    Shutdown,
}

/// The last notification that a client has seen on an earlier connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Resume {
    /// The run of the daemon that the number is from.
    pub instance: String,
    /// Number of the last notification that was seen.
    pub sequence: u64,
}

/// Name of an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Extension {
    /// Requests with ids.
    Ids,
    /// Progress and cancellation.
    Jobs,
    /// Numbers of notifications.
    Sequence,
    /// More notifications, errors, reasons and statistics.
    Details,
    /// Chosen notifications.
    Filter,
}

/// What a client that asked for extensions gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Granted {
    /// The extensions in force on this connection.
    pub extensions: Vec<Extension>,
    /// This run of the daemon; numbers of notifications are its own.
    pub instance: String,
    /// Number of the last notification before this connection subscribed; 0 if there was none.
    pub sequence: u64,
    /// Whether everything after `resume` follows. Otherwise notifications go on after `sequence`, and what happened in
    /// between has to be asked for.
    pub resumed: bool,
    /// The limits in force on this connection.
    pub limits: Limits,
}

impl Granted {
    /// Whether an extension is in force.
    #[must_use]
    pub fn has(&self, extension: Extension) -> bool {
        self.extensions.contains(&extension)
    }
}

/// The limits of a connection. `None`: there is none, or the server does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Limits {
    /// Longest line in bytes.
    pub max_request_size: u64,
    /// Requests per second of this connection; what comes faster is delayed.
    pub max_requests_per_sec: u32,
    /// Requests per second of all connections of this peer.
    pub max_requests_per_sec_per_peer: Option<u32>,
    /// Requests with an id that may be under way; a further line is not read before one of them is answered.
    pub max_pending_requests: u32,
    /// Containers in one request.
    pub max_containers: u32,
    /// Largest package in bytes.
    pub max_npk_install_size: u64,
    /// Installs under way in the whole daemon.
    pub max_installs: u32,
    /// Longest pause within a package in milliseconds.
    pub npk_stream_timeout_ms: u64,
    /// Slowest package in bytes per second.
    pub npk_min_rate: u32,
    /// How long a token can be verified, in milliseconds.
    pub token_validity_ms: u64,
    /// How long a client that did not subscribe may be silent, in milliseconds.
    pub idle_timeout_ms: Option<u64>,
    /// How long the rest of a line, or reading what was sent, may take, in milliseconds.
    pub stall_timeout_ms: u64,
    /// Connections of the listener.
    pub max_connections: Option<u32>,
    /// Connections of this peer.
    pub max_connections_per_peer: Option<u32>,
    /// Notifications kept for slow readers and for `resume`.
    pub notification_buffer_size: u32,
}
