//! A message with the id or the number that the extensions add to it.
//!
//! The keys stand beside the one that names the kind: `{"id":7,"request":"list"}`,
//! `{"sequence":42,"notification":"shutdown"}`. Without them the line is that of the [`Message`] alone.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Visitor},
    ser::SerializeMap,
};

use crate::Message;

/// A message as the extensions write it.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Of a request, of its response and of its progress. Extension `ids`.
    pub id: Option<u64>,
    /// Of a notification. Extension `sequence`.
    pub sequence: Option<u64>,
    /// What it is about.
    pub message: Message,
}

impl Envelope {
    /// A message that belongs to the request with this id, if it has one.
    pub fn new(id: Option<u64>, message: impl Into<Message>) -> Envelope {
        Envelope {
            id,
            sequence: None,
            message: message.into(),
        }
    }
}

impl<M: Into<Message>> From<M> for Envelope {
    fn from(message: M) -> Envelope {
        Envelope::new(None, message)
    }
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(id) = self.id {
            map.serialize_entry("id", &id)?;
        }
        if let Some(sequence) = self.sequence {
            map.serialize_entry("sequence", &sequence)?;
        }
        match &self.message {
            Message::Connect(connect) => map.serialize_entry("connect", connect)?,
            Message::ConnectAck(ack) => map.serialize_entry("connect_ack", ack)?,
            Message::ConnectNack(nack) => map.serialize_entry("connect_nack", nack)?,
            Message::Request(request) => map.serialize_entry("request", request)?,
            Message::Response(response) => map.serialize_entry("response", response)?,
            Message::Notification(notification) => {
                map.serialize_entry("notification", notification)?;
            }
            Message::Progress(progress) => map.serialize_entry("progress", progress)?,
        }
        map.end()
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Key {
    Id,
    Sequence,
    Connect,
    ConnectAck,
    ConnectNack,
    Request,
    Response,
    Notification,
    Progress,
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Envelope, D::Error> {
        deserializer.deserialize_map(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let mut id = None;
        let mut sequence = None;
        let mut message = None;
        while let Some(key) = map.next_key()? {
            let found = match key {
                Key::Id => {
                    once(&mut id, map.next_value()?, "id")?;
                    continue;
                }
                Key::Sequence => {
                    once(&mut sequence, map.next_value()?, "sequence")?;
                    continue;
                }
                Key::Connect => Message::Connect(map.next_value()?),
                Key::ConnectAck => Message::ConnectAck(map.next_value()?),
                Key::ConnectNack => Message::ConnectNack(map.next_value()?),
                Key::Request => Message::Request(map.next_value()?),
                Key::Response => Message::Response(map.next_value()?),
                Key::Notification => Message::Notification(map.next_value()?),
                Key::Progress => Message::Progress(map.next_value()?),
            };
            once(&mut message, found, "message")?;
        }
        Ok(Envelope {
            id,
            sequence,
            message: message.ok_or_else(|| A::Error::custom("there is no message"))?,
        })
    }
}

/// Of two values the last one would win silently.
fn once<T, E: Error>(place: &mut Option<T>, value: T, what: &str) -> Result<(), E> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom(format_args!("more than one {what}"))),
    }
}
