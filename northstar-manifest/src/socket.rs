//! `sockets`: Unix sockets that the runtime binds for the container.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, de::Visitor};

use crate::{
    name::is_name_character,
    process::validate_id,
    validate::{At, Checked},
};

const MAX_SOCKETS: usize = 64;
const MAX_NAME: usize = 64;
const MAX_MODE: u32 = 0o777;

/// A Unix socket that the runtime binds; the container gets the descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Socket {
    /// The socket's type.
    #[serde(rename = "type")]
    pub kind: SocketKind,
    /// Permission bits of the socket file.
    #[serde(deserialize_with = "deserialize_mode")]
    #[cfg_attr(feature = "schema", schemars(range(max = 0o777)))]
    pub mode: u32,
    /// Owner of the socket file; the container's user if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 4_294_967_294_u32)))]
    pub uid: Option<u32>,
    /// Group of the socket file; the container's group if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 4_294_967_294_u32)))]
    pub gid: Option<u32>,
    /// Set `SO_PASSCRED` (unix(7)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passcred: Option<bool>,
}

/// Type of a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SocketKind {
    /// `SOCK_STREAM`
    Stream,
    /// `SOCK_DGRAM`
    Datagram,
    /// `SOCK_SEQPACKET`
    SeqPacket,
}

/// A number, but not with a leading zero: YAML 1.2 reads `0644` as 644 and chmod(1) as 420.
fn deserialize_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    struct Mode;

    impl Visitor<'_> for Mode {
        type Value = u32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("permission bits such as 0o600")
        }

        fn visit_u64<E: serde::de::Error>(self, mode: u64) -> Result<u32, E> {
            u32::try_from(mode)
                .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(mode), &self))
        }

        fn visit_i64<E: serde::de::Error>(self, mode: i64) -> Result<u32, E> {
            u32::try_from(mode)
                .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(mode), &self))
        }
    }

    deserializer.deserialize_any(Mode)
}

pub(crate) fn validate(sockets: &BTreeMap<String, Socket>) -> Checked {
    let at = At::field("sockets");
    at.at_most(sockets.len(), MAX_SOCKETS)?;
    sockets.iter().try_for_each(|(name, socket)| {
        let at = at.key(name);
        // The name becomes part of a file name and of a variable name.
        at.filled(name, MAX_NAME)?;
        at.characters(
            name,
            is_name_character,
            "ASCII letters, digits, `.`, `_` and `-`",
        )?;
        at.key("mode").range(socket.mode, 0, MAX_MODE.into())?;
        socket
            .uid
            .map_or(Ok(()), |uid| validate_id(&at.key("uid"), uid))?;
        socket
            .gid
            .map_or(Ok(()), |gid| validate_id(&at.key("gid"), gid))
    })
}
