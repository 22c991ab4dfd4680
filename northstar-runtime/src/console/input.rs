//! What a client sends: lines of bounded length, and between them the raw bytes of packages.
//!
//! Memory is bounded in two ways. A line has a longest length, and all lines of a listener together that are longer
//! than [`FREE`] share a [`Budget`]: who wants more waits for others to be done, and whoever is not done in time is
//! disconnected.

use crate::config::MAX_REQUEST_SIZE;
use bytes::{Bytes, BytesMut};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// What every connection may use for a line without asking, in bytes.
const FREE: usize = 16 * 1024;
/// How much is read at once while looking for the end of a line.
const LINE_CHUNK: usize = 4 * 1024;
/// How much is read at once from the stream of an install.
const BODY_CHUNK: usize = 128 * 1024;
/// The unit of the budget in bytes.
const UNIT: usize = 1024;
/// What all lines beyond [`FREE`] may use together: the longest one that can be allowed fits.
const BUDGET: usize = MAX_REQUEST_SIZE + UNIT;

/// Memory for long lines, shared by the connections of a listener.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(super) fn new() -> Budget {
        Budget(Arc::new(Semaphore::new(BUDGET.div_ceil(UNIT))))
    }

    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        Arc::clone(&self.0).acquire_many_owned(units).await.ok()
    }
}

/// One line without its end, and the memory it holds.
#[derive(Debug)]
pub(super) struct Line {
    pub text: Bytes,
    pub memory: Option<OwnedSemaphorePermit>,
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
}

/// The receiving half of a connection.
#[derive(Debug)]
pub(super) struct Input<R> {
    io: R,
    buffer: BytesMut,
    /// Bytes at the start of `buffer` that are known to hold no end of a line.
    scanned: usize,
    /// What `buffer` holds of the budget.
    memory: Option<OwnedSemaphorePermit>,
    /// How many bytes `memory` and [`FREE`] stand for.
    allowance: usize,
    budget: Budget,
}

impl<R: AsyncRead + Unpin> Input<R> {
    pub(super) fn new(io: R, budget: Budget) -> Input<R> {
        Input {
            io,
            buffer: BytesMut::new(),
            scanned: 0,
            memory: None,
            allowance: FREE,
            budget,
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
            let read = timeout_at(stalled, self.read(LINE_CHUNK))
                .await
                .map_err(|_| stall())??;
            if read == 0 {
                return Err(LineError::Truncated);
            }
        }
    }

    /// At least one and at most `limit` raw bytes; none if the client has closed its half.
    pub(super) async fn chunk(&mut self, limit: u64) -> io::Result<Bytes> {
        if self.buffer.is_empty() {
            self.read(usize::try_from(limit).map_or(BODY_CHUNK, |limit| limit.min(BODY_CHUNK)))
                .await?;
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.scanned = 0;
        Ok(self.buffer.split_to(self.buffer.len().min(limit)).freeze())
    }

    /// Throws away what comes until the client closes, `deadline`, or `most` bytes, so that closing the connection does
    /// not destroy an answer on its way (close(2) with unread bytes resets a connection).
    pub(super) async fn drain(&mut self, deadline: Instant, most: u64) {
        let mut left = most;
        while left > 0 {
            self.buffer.clear();
            match timeout_at(deadline, self.read(BODY_CHUNK)).await {
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
        self.allowance = FREE;
        Ok(Some(Line {
            text: text.freeze(),
            memory: self.memory.take(),
        }))
    }

    /// Asks the budget for more once the line has outgrown what it has: twice as much, up to the `longest` line.
    async fn make_room(&mut self, longest: usize) {
        if self.buffer.len() + LINE_CHUNK <= self.allowance || self.allowance >= longest {
            return;
        }
        let allowance = self.allowance.saturating_mul(2).min(longest.max(FREE));
        let more = self
            .budget
            .take(allowance.saturating_sub(self.allowance))
            .await;
        match (&mut self.memory, more) {
            (Some(memory), Some(more)) => memory.merge(more),
            (memory, more) => *memory = more,
        }
        self.allowance = allowance;
    }

    async fn read(&mut self, most: usize) -> io::Result<usize> {
        if self.buffer.is_empty() && self.buffer.capacity() > FREE {
            // The memory of a long line or of an install is not kept for short ones.
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(most);
        self.io.read_buf(&mut self.buffer).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    const LIMITS: LineLimits = LineLimits {
        length: 32,
        idle: Some(Duration::from_secs(60)),
        stall: Duration::from_secs(5),
    };

    fn input(budget: usize) -> (DuplexStream, Input<DuplexStream>) {
        let (client, server) = duplex(1 << 20);
        let budget = Budget(Arc::new(Semaphore::new(budget)));
        (client, Input::new(server, budget))
    }

    async fn next(input: &mut Input<DuplexStream>) -> Option<Bytes> {
        input.line(LIMITS).await.unwrap().map(|line| line.text)
    }

    #[tokio::test(start_paused = true)]
    async fn lines_are_separated_however_they_arrive() {
        let (mut client, mut input) = input(0);
        client.write_all(b"one\ntwo\r\n\nfo").await.unwrap();
        assert_eq!(next(&mut input).await.unwrap(), "one");
        assert_eq!(next(&mut input).await.unwrap(), "two");
        assert_eq!(next(&mut input).await.unwrap(), "");
        client.write_all(b"ur\n").await.unwrap();
        drop(client);
        assert_eq!(next(&mut input).await.unwrap(), "four");
        assert_eq!(next(&mut input).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_of_the_longest_length_passes_and_one_byte_more_does_not() {
        for end in ["\n", "\r\n"] {
            let (mut client, mut input) = input(0);
            let line = "x".repeat(32);
            client
                .write_all(format!("{line}{end}{line}x{end}").as_bytes())
                .await
                .unwrap();
            assert_eq!(next(&mut input).await.unwrap(), line);
            let error = input.line(LIMITS).await.unwrap_err();
            assert!(matches!(error, LineError::TooLong(32)), "{error:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_without_end_is_refused_before_it_ends() {
        let (mut client, mut input) = input(0);
        client.write_all(&[b'x'; 34]).await.unwrap();
        let error = input.line(LIMITS).await.unwrap_err();
        assert!(matches!(error, LineError::TooLong(32)), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_cut_off_by_the_end_is_no_line() {
        let (mut client, mut input) = input(0);
        client.write_all(b"one").await.unwrap();
        drop(client);
        let error = input.line(LIMITS).await.unwrap_err();
        assert!(matches!(error, LineError::Truncated), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_slowness_have_their_own_deadlines() {
        let (mut client, mut input) = input(0);
        let started = Instant::now();
        let error = input.line(LIMITS).await.unwrap_err();
        assert!(matches!(error, LineError::Idle(_)), "{error:?}");
        assert_eq!(started.elapsed().as_secs(), 60);

        // One byte per second is not progress enough: the deadline is the line's, not the byte's.
        let started = Instant::now();
        let trickle = async {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let error = tokio::select! {
            line = input.line(LIMITS) => line.unwrap_err(),
            () = trickle => panic!("the pipe broke"),
        };
        assert!(matches!(error, LineError::Stalled(_)), "{error:?}");
        assert_eq!(started.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn raw_bytes_end_where_they_end_and_a_line_follows() {
        let (mut client, mut input) = input(0);
        client.write_all(b"head\nraw\nbytesnext\n").await.unwrap();
        assert_eq!(next(&mut input).await.unwrap(), "head");
        assert_eq!(input.chunk(4).await.unwrap(), "raw\n");
        assert_eq!(input.chunk(5).await.unwrap(), "bytes");
        assert_eq!(next(&mut input).await.unwrap(), "next");
        drop(client);
        assert_eq!(input.chunk(1).await.unwrap(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn long_lines_wait_for_each_other() {
        let limits = LineLimits {
            length: 64 * 1024,
            ..LIMITS
        };
        let long = [vec![b'x'; 60 * 1024], b"\n".to_vec()].concat();
        // Room for one long line beyond what is free.
        let budget = Budget(Arc::new(Semaphore::new(64 - 16 + 2)));
        let (mut client, server) = duplex(1 << 20);
        let mut first = Input::new(server, budget.clone());
        client.write_all(&long).await.unwrap();
        let held = first.line(limits).await.unwrap().unwrap();
        assert_eq!(held.text.len(), 60 * 1024);
        assert!(held.memory.is_some());

        let (mut client, server) = duplex(1 << 20);
        let mut second = Input::new(server, budget.clone());
        client.write_all(b"short\n").await.unwrap();
        assert_eq!(second.line(limits).await.unwrap().unwrap().text, "short");
        client.write_all(&long).await.unwrap();
        let waited = Instant::now();
        let error = second.line(limits).await.unwrap_err();
        assert!(matches!(error, LineError::Stalled(_)), "{error:?}");
        assert_eq!(waited.elapsed().as_secs(), 5);

        drop((held, second));
        let (mut client, server) = duplex(1 << 20);
        let mut third = Input::new(server, budget);
        client.write_all(&long).await.unwrap();
        assert_eq!(
            third.line(limits).await.unwrap().unwrap().text.len(),
            60 * 1024
        );
    }
}
