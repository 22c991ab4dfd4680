//! What a client sends: lines of bounded length, and between them the raw bytes of packages.
//!
//! Memory is bounded in two ways. A line has a longest length, and all lines of a peer that are longer than [`FREE`]
//! have a [`Share`] together: who wants more waits for the peer's other lines to be done, and whoever is not done in
//! time is disconnected. Raw bytes go into memory of who takes them.

use super::budget::{Memory, Share};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, timeout_at},
};

/// What every connection may use for a line without asking, in bytes.
pub(super) const FREE: usize = 16 * 1024;
/// How much is read at once while looking for the end of a line.
const LINE_CHUNK: usize = 4 * 1024;
/// How much is read at once to be thrown away.
const DRAIN_CHUNK: usize = 16 * 1024;
/// One line without its end, and the memory it holds: if it is long, as much as the longest needs.
#[derive(Debug)]
pub(super) struct Line {
    pub text: Bytes,
    pub memory: Option<Memory>,
}

/// Limits of one line.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineLimits {
    /// Longest line in bytes.
    pub length: usize,
    /// How long to wait for its first byte.
    pub idle: Option<Duration>,
    /// How long it may take from its first byte to its end.
    pub stall: Duration,
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("a line is longer than {0} bytes")]
    TooLong(usize),
    #[error("the connection was closed within a line")]
    Truncated,
    #[error("nothing was sent for {0:?}")]
    Idle(Duration),
    #[error("a line was not completed within {0:?}")]
    Stalled(Duration),
    #[error("a long line was not completed in time, and others wait for its memory")]
    Recalled,
}

/// The receiving half of a connection.
#[derive(Debug)]
pub(super) struct Input<R> {
    io: R,
    buffer: BytesMut,
    /// Bytes at the start of `buffer` that are known to hold no end of a line.
    scanned: usize,
    /// What a line that is longer than [`FREE`] holds of the share.
    memory: Option<Memory>,
    share: Share,
}

impl<R: AsyncRead + Unpin> Input<R> {
    pub(super) fn new(io: R, share: Share) -> Input<R> {
        Input {
            io,
            buffer: BytesMut::new(),
            scanned: 0,
            memory: None,
            share,
        }
    }

    /// The next line; `None` if the client has closed its half instead.
    pub(super) async fn line(&mut self, limits: LineLimits) -> Result<Option<Line>, LineError> {
        let mut stalled = Instant::now() + limits.stall;
        let idle = limits.idle.map(|idle| Instant::now() + idle);
        loop {
            if let Some(line) = self.buffered_line(limits.length)? {
                return Ok(Some(line));
            }
            let stall = || LineError::Stalled(limits.stall);
            if self.buffer.is_empty() {
                let read = match idle {
                    Some(idle) => match timeout_at(idle, self.read(LINE_CHUNK)).await {
                        Ok(read) => read?,
                        Err(_) => return Err(LineError::Idle(limits.idle.unwrap_or_default())),
                    },
                    None => self.read(LINE_CHUNK).await?,
                };
                if read == 0 {
                    return Ok(None);
                }
                stalled = Instant::now() + limits.stall;
                continue;
            }
            let longest = limits.length.saturating_add(2);
            timeout_at(stalled, self.make_room(longest))
                .await
                .map_err(|_| stall())?;
            let memory = self.memory.take();
            let read = timeout_at(stalled, self.read(LINE_CHUNK));
            let read = match &memory {
                Some(memory) => tokio::select! {
                    biased;
                    read = read => read,
                    () = memory.recalled() => return Err(LineError::Recalled),
                },
                None => read.await,
            };
            self.memory = memory;
            let read = read.map_err(|_| stall())??;
            if read == 0 {
                return Err(LineError::Truncated);
            }
        }
    }

    /// Puts raw bytes where there is room: as many as are there, at least one; none if the client has closed its half.
    pub(super) async fn raw(&mut self, room: &mut (impl BufMut + Send)) -> io::Result<usize> {
        if self.buffer.is_empty() {
            return self.io.read_buf(room).await;
        }
        // What came with the line before.
        self.scanned = 0;
        let length = self.buffer.len().min(room.remaining_mut());
        room.put_slice(self.buffer.get(..length).unwrap_or_default());
        self.buffer.advance(length);
        Ok(length)
    }

    /// Throws away what comes until the client closes, `deadline`, or `most` bytes, so that closing the connection does
    /// not destroy an answer on its way (close(2) with unread bytes resets a connection).
    pub(super) async fn drain(&mut self, deadline: Instant, most: u64) {
        let mut left = most;
        while left > 0 {
            self.buffer.clear();
            match timeout_at(deadline, self.read(DRAIN_CHUNK)).await {
                Ok(Ok(read)) if read > 0 => left = left.saturating_sub(read as u64),
                _ => return,
            }
        }
    }

    fn buffered_line(&mut self, longest: usize) -> Result<Option<Line>, LineError> {
        let unseen = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(end) = unseen.iter().position(|byte| *byte == b'\n') else {
            self.scanned = self.buffer.len();
            // One more for the `\r` of a line that is as long as it may be.
            if self.scanned > longest.saturating_add(1) {
                return Err(LineError::TooLong(longest));
            }
            return Ok(None);
        };
        let mut text = self.buffer.split_to(self.scanned + end + 1);
        self.scanned = 0;
        text.truncate(text.len() - 1);
        if text.last() == Some(&b'\r') {
            text.truncate(text.len() - 1);
        }
        if text.len() > longest {
            return Err(LineError::TooLong(longest));
        }
        Ok(Some(Line {
            text: text.freeze(),
            memory: self.memory.take(),
        }))
    }

    /// Takes what the `longest` line needs once this one has outgrown what is free. All at once: lines that each have a
    /// part and want more would wait for each other.
    async fn make_room(&mut self, longest: usize) {
        if self.memory.is_none() && longest > FREE && self.buffer.len() + LINE_CHUNK > FREE {
            self.memory = self.share.take(longest.saturating_sub(FREE)).await;
        }
    }

    async fn read(&mut self, most: usize) -> io::Result<usize> {
        if self.buffer.is_empty() && self.buffer.capacity() > most.max(FREE) {
            // The memory of a long line is not kept for short ones.
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(most);
        // The buffer may be larger than it was asked to be.
        let mut buffer = (&mut self.buffer).limit(most);
        self.io.read_buf(&mut buffer).await
    }
}

#[cfg(test)]
mod tests;
