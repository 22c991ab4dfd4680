//! Tokens, which let containers prove their name to each other.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::base64;

/// An opaque token; base64 on the wire.
///
/// Those that a server creates have [`Token::LENGTH`] bytes. One of another length can be sent, and is invalid.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Vec<u8>);

/// Bytes that are not a token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a token has {} bytes, not {length}", Token::LENGTH)]
pub struct InvalidToken {
    /// Number of the bytes.
    pub length: usize,
}

impl Token {
    /// Length in bytes.
    pub const LENGTH: usize = 40;

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<[u8; Token::LENGTH]> for Token {
    fn from(bytes: [u8; Token::LENGTH]) -> Token {
        Token(bytes.to_vec())
    }
}

impl TryFrom<&[u8]> for Token {
    type Error = InvalidToken;

    fn try_from(bytes: &[u8]) -> Result<Token, InvalidToken> {
        if bytes.len() == Token::LENGTH {
            Ok(Token(bytes.to_vec()))
        } else {
            Err(InvalidToken {
                length: bytes.len(),
            })
        }
    }
}

/// A token is worth something to whoever reads the log.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        base64::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        base64::deserialize(deserializer).map(Token)
    }
}

/// What became of the verification of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum VerificationResult {
    /// The token is good.
    Ok,
    /// Not from this creator, for this target, with this shared value, or not from this daemon.
    Invalid,
    /// Too old.
    Expired,
    /// Created later than now.
    Future,
}
