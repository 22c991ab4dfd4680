//! The envelope.

use serde::{Deserialize, Serialize};

use crate::{Connect, ConnectAck, ConnectNack, Notification, Request, Response};

/// A message: one JSON object with one key, which names the kind.
///
/// Clients of extensions exchange [`Envelope`](crate::Envelope)s, which add an id or a number to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Client to server, first.
    Connect(Connect),
    /// Server to client, the answer to `connect`.
    ConnectAck(ConnectAck),
    /// Server to client, the answer to `connect`; the server then closes.
    ConnectNack(ConnectNack),
    /// Client to server.
    Request(Request),
    /// Server to client, one for each request.
    Response(Response),
    /// Server to client, at any time.
    Notification(Notification),
    /// Server to client, before the response to a request with an id. Extension `jobs`.
    Progress(Progress),
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Progress {
    /// How much is done.
    pub done: u64,
    /// How much there is to do.
    pub total: u64,
    /// Of what.
    pub unit: Unit,
}

/// What is counted by [`Progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Containers.
    Containers,
    /// Bytes of a package.
    Bytes,
}

impl From<Request> for Message {
    fn from(request: Request) -> Message {
        Message::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Message {
        Message::Response(response)
    }
}

impl From<Notification> for Message {
    fn from(notification: Notification) -> Message {
        Message::Notification(notification)
    }
}
