//! Messages as lines, and the raw bytes between them.
//!
//! [`Lines`] is a codec for `tokio_util::codec::Framed`. It yields messages until
//! [`Lines::expect_raw`] says that raw bytes follow, as they do after an install request; from then
//! on it yields these bytes as they arrive, and after the last one messages again. It decodes one
//! line at a time, so what follows an install request in the buffer is never taken for a line.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use thiserror::Error;
use tokio_util::codec::{Decoder, Encoder};

use crate::{Envelope, Message};

/// Longest line in bytes that a client accepts from a server: inspect answers carry a manifest of up to
/// 64 KiB in JSON, and lists grow with the number of containers.
pub const MAX_RESPONSE_SIZE: usize = 16 * 1024 * 1024;

/// Why a line is no message. The stream is unusable after any of them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// No line end within the limit.
    #[error("a line is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes, without the line end.
        limit: usize,
    },
    /// Not a message.
    #[error("a line is not a message of the console protocol")]
    Malformed {
        /// What the JSON parser says.
        source: serde_json::Error,
    },
    /// The stream ended inside of a line.
    #[error("the stream ended in the middle of a line")]
    Truncated,
    /// The stream ended before all raw bytes were there.
    #[error("the stream ended {missing} bytes before the end of the raw data")]
    TruncatedRaw {
        /// How many bytes are missing.
        missing: u64,
    },
    /// A message that JSON cannot express.
    #[error("a message cannot be written as JSON")]
    Unencodable {
        /// What the JSON writer says.
        source: serde_json::Error,
    },
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What comes out of the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// A message.
    Message(Message),
    /// Some of the raw bytes that were announced; never empty.
    Raw(Bytes),
}

/// Splits a stream into lines of bounded length, each without its end (`\n` or `\r\n`).
#[derive(Debug)]
pub struct LineSplitter {
    limit: usize,
    /// Bytes at the front of the buffer that are known to have no line end.
    searched: usize,
}

impl LineSplitter {
    /// A splitter for lines of at most `limit` bytes, without the line end.
    #[must_use]
    pub fn new(limit: usize) -> LineSplitter {
        LineSplitter { limit, searched: 0 }
    }
}

impl Decoder for LineSplitter {
    type Item = Bytes;
    type Error = CodecError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<Bytes>, CodecError> {
        let end = source
            .iter()
            .skip(self.searched)
            .position(|byte| *byte == b'\n');
        let Some(end) = end.map(|end| end + self.searched) else {
            self.searched = source.len();
            // A carriage return in front of the line end does not count.
            if self.searched > self.limit.saturating_add(1) {
                return Err(CodecError::TooLong { limit: self.limit });
            }
            return Ok(None);
        };
        self.searched = 0;
        let mut line = source.split_to(end.saturating_add(1)).freeze();
        line.truncate(end);
        if line.ends_with(b"\r") {
            line.truncate(end.saturating_sub(1));
        }
        if line.len() > self.limit {
            return Err(CodecError::TooLong { limit: self.limit });
        }
        Ok(Some(line))
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<Bytes>, CodecError> {
        match self.decode(source)? {
            Some(line) => Ok(Some(line)),
            None if source.is_empty() => Ok(None),
            None => Err(CodecError::Truncated),
        }
    }
}

/// Codec of a console connection.
#[derive(Debug)]
pub struct Lines {
    splitter: LineSplitter,
    raw: u64,
}

impl Lines {
    /// A codec that accepts lines of at most `limit` bytes, without the line end.
    #[must_use]
    pub fn new(limit: usize) -> Lines {
        Lines {
            splitter: LineSplitter::new(limit),
            raw: 0,
        }
    }

    /// The next `count` bytes are not lines but raw bytes.
    pub fn expect_raw(&mut self, count: u64) {
        self.raw = count;
    }

    /// How many raw bytes are still to come.
    #[must_use]
    pub fn raw_remaining(&self) -> u64 {
        self.raw
    }

    fn take_raw(&mut self, source: &mut BytesMut) -> Option<Frame> {
        if source.is_empty() {
            return None;
        }
        let available = source.len();
        let count = usize::try_from(self.raw).map_or(available, |raw| raw.min(available));
        let bytes = source.split_to(count).freeze();
        self.raw = self
            .raw
            .saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        Some(Frame::Raw(bytes))
    }
}

impl Decoder for Lines {
    type Item = Frame;
    type Error = CodecError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        if self.raw > 0 {
            return Ok(self.take_raw(source));
        }
        match self.splitter.decode(source)? {
            Some(line) => decode(&line).map(|message| Some(Frame::Message(message))),
            None => Ok(None),
        }
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        if let Some(frame) = self.decode(source)? {
            return Ok(Some(frame));
        }
        match (self.raw, source.is_empty()) {
            (0, true) => Ok(None),
            (0, false) => Err(CodecError::Truncated),
            (missing, _) => Err(CodecError::TruncatedRaw { missing }),
        }
    }
}

impl Encoder<&Message> for Lines {
    type Error = CodecError;

    fn encode(&mut self, message: &Message, target: &mut BytesMut) -> Result<(), CodecError> {
        encode(message, target)
    }
}

impl Encoder<Message> for Lines {
    type Error = CodecError;

    fn encode(&mut self, message: Message, target: &mut BytesMut) -> Result<(), CodecError> {
        encode(&message, target)
    }
}

/// Reads a message from a line without its end.
///
/// # Errors
///
/// [`CodecError::Malformed`]
pub fn decode(line: &[u8]) -> Result<Message, CodecError> {
    serde_json::from_slice(line).map_err(|source| CodecError::Malformed { source })
}

/// Reads a message with what the extensions add from a line without its end. Plain messages are read too.
///
/// # Errors
///
/// [`CodecError::Malformed`]
pub fn decode_envelope(line: &[u8]) -> Result<Envelope, CodecError> {
    serde_json::from_slice(line).map_err(|source| CodecError::Malformed { source })
}

/// Appends a message and a line end to `target`.
///
/// # Errors
///
/// [`CodecError::Unencodable`]; `target` is then as it was before.
pub fn encode(message: &Message, target: &mut BytesMut) -> Result<(), CodecError> {
    write(message, target)
}

/// Appends a message with what the extensions add and a line end to `target`.
///
/// # Errors
///
/// [`CodecError::Unencodable`]; `target` is then as it was before.
pub fn encode_envelope(envelope: &Envelope, target: &mut BytesMut) -> Result<(), CodecError> {
    write(envelope, target)
}

fn write(value: &impl Serialize, target: &mut BytesMut) -> Result<(), CodecError> {
    let before = target.len();
    serde_json::to_writer(target.writer(), value).map_err(|source| {
        target.truncate(before);
        CodecError::Unencodable { source }
    })?;
    target.put_u8(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests;
