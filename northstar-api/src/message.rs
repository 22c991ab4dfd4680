//! The envelope.

use serde::{Deserialize, Serialize};

use crate::{Connect, ConnectAck, ConnectNack, Notification, Request, Response};

/// A message: one JSON object with one key, which names the kind.
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
