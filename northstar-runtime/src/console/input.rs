//! What a client sends: lines of bounded length, and between them the raw bytes of packages.
//!
//! Memory is bounded in two ways. A line has a longest length, and all lines of a peer that are longer than [`FREE`]
//! have a [`Share`] together: who wants more waits for the peer's other lines to be done, and whoever is not done in
//! time is disconnected. Raw bytes are handed on without the buffer they were received in, unless they fill half of it.

use super::{
    budget::{Memory, Share},
    recycle::Buffers,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::FutureExt;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, timeout_at},
};

/// What every connection may use for a line without asking, in bytes.
pub(super) const FREE: usize = 16 * 1024;
/// How much is read at once while looking for the end of a line.
const LINE_CHUNK: usize = 4 * 1024;
/// How much is read at once from the stream of an install.
const BODY_CHUNK: usize = 128 * 1024;
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
    /// Where raw bytes are read into. Only while there are any: an idle connection holds no memory of an install.
    body: Option<Buffers>,
}

impl<R: AsyncRead + Unpin> Input<R> {
    pub(super) fn new(io: R, share: Share) -> Input<R> {
        Input {
            io,
            buffer: BytesMut::new(),
            scanned: 0,
            memory: None,
            share,
            body: None,
        }
    }

    /// The next line; `None` if the client has closed its half instead.
    pub(super) async fn line(&mut self, limits: LineLimits) -> Result<Option<Line>, LineError> {
        self.body = None;
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

    /// At least one and at most `limit` raw bytes; none if the client has closed its half.
    pub(super) async fn chunk(&mut self, limit: u64) -> io::Result<Bytes> {
        let most = |there: usize| usize::try_from(limit).map_or(there, |limit| limit.min(there));
        if self.buffer.is_empty() {
            let buffers = self.body.get_or_insert_with(|| Buffers::new(BODY_CHUNK));
            let mut buffer = buffers.take();
            let mut memory = buffer.memory().limit(most(BODY_CHUNK));
            let mut read = self.io.read_buf(&mut memory).await?;
            // A full buffer is handed on once; what is not there yet is not waited for.
            while read > 0 && memory.has_remaining_mut() {
                read = match self.io.read_buf(&mut memory).now_or_never() {
                    Some(read) => read?,
                    None => 0,
                };
            }
            return Ok(buffer.into_bytes());
        }
        // What came with the line before. A copy: a part of the buffer would keep all of it.
        self.scanned = 0;
        let length = most(self.buffer.len());
        let chunk = Bytes::copy_from_slice(self.buffer.get(..length).unwrap_or_default());
        self.buffer.advance(length);
        Ok(chunk)
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
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    const LIMITS: LineLimits = LineLimits {
        length: 32,
        idle: Some(Duration::from_secs(60)),
        stall: Duration::from_secs(5),
    };

    fn input(share: usize) -> (DuplexStream, Input<DuplexStream>) {
        let (client, server) = duplex(1 << 20);
        (client, Input::new(server, Share::alone(share)))
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
    async fn a_chunk_keeps_no_more_than_twice_its_bytes() {
        let (mut client, mut input) = input(0);
        for _ in 0..100 {
            client.write_all(b"x").await.unwrap();
            let chunk = input.chunk(1 << 20).await.unwrap();
            // Nobody else has a part of its memory, and that is not larger than it has to be.
            let chunk = chunk.try_into_mut().unwrap();
            assert_eq!((chunk.len(), chunk.capacity()), (1, 1));
        }
        client.write_all(&[b'x'; 300_000]).await.unwrap();
        for length in [100_000, BODY_CHUNK] {
            let chunk = input.chunk(length as u64).await.unwrap();
            assert_eq!(chunk.len(), length);
            // In the buffer it was received in, of which it is more than half.
            assert!(chunk.try_into_mut().is_err());
        }
        let chunk = input.chunk(50_000).await.unwrap();
        assert_eq!(chunk.try_into_mut().unwrap().capacity(), 50_000);
    }

    /// 60 KiB.
    fn long() -> Vec<u8> {
        [vec![b'x'; 60 * 1024], b"\n".to_vec()].concat()
    }

    const LONG_LIMITS: LineLimits = LineLimits {
        length: 64 * 1024,
        ..LIMITS
    };

    #[tokio::test(start_paused = true)]
    async fn long_lines_wait_for_each_other() {
        // Room for one long line beyond what is free.
        let share = Share::alone(64 * 1024);
        let (mut client, server) = duplex(1 << 20);
        let mut first = Input::new(server, share.clone());
        client.write_all(&long()).await.unwrap();
        let held = first.line(LONG_LIMITS).await.unwrap().unwrap();
        assert_eq!(held.text.len(), 60 * 1024);
        assert!(held.memory.is_some());

        let (mut client, server) = duplex(1 << 20);
        let mut second = Input::new(server, share.clone());
        client.write_all(b"short\n").await.unwrap();
        let short = second.line(LONG_LIMITS).await.unwrap().unwrap();
        assert_eq!(short.text, "short");
        client.write_all(&long()).await.unwrap();
        let waited = Instant::now();
        let error = second.line(LONG_LIMITS).await.unwrap_err();
        assert!(matches!(error, LineError::Stalled(_)), "{error:?}");
        assert_eq!(waited.elapsed().as_secs(), 5);

        drop((held, second));
        let (mut client, server) = duplex(1 << 20);
        let mut third = Input::new(server, share);
        client.write_all(&long()).await.unwrap();
        let line = third.line(LONG_LIMITS).await.unwrap().unwrap();
        assert_eq!(line.text.len(), 60 * 1024);
    }

    #[tokio::test(start_paused = true)]
    async fn long_lines_that_arrive_together_are_all_served() {
        let share = Share::alone(64 * 1024);
        let mut lines = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (mut client, server) = duplex(4 * 1024);
            let mut input = Input::new(server, share.clone());
            lines.spawn(async move {
                let bytes = long();
                let (sent, line) = tokio::join!(client.write_all(&bytes), input.line(LONG_LIMITS));
                sent.unwrap();
                line.unwrap().unwrap().text.len()
            });
        }
        let lengths = lines.join_all().await;
        assert_eq!(lengths, [60 * 1024; 8]);
    }

    /// Two origins fill everything there is with lines that they never end. A third one is served all the same.
    #[tokio::test(start_paused = true)]
    async fn who_fills_all_memory_together_loses_it() {
        use super::super::{budget::Budget, peer::Origin};
        let budget = Budget::new();
        let limits = LineLimits {
            length: crate::config::MAX_REQUEST_SIZE,
            idle: None,
            stall: Duration::from_secs(3600),
        };
        let mut greedy = tokio::task::JoinSet::new();
        for uid in [1, 1, 2, 2] {
            let (mut client, server) = duplex(64 * 1024);
            let mut input = Input::new(server, budget.share(Origin::User(uid)));
            greedy.spawn(async move {
                client.write_all(&[b'x'; 32 * 1024]).await.unwrap();
                let error = input.line(limits).await.unwrap_err();
                assert!(matches!(error, LineError::Recalled), "{error:?}");
                drop(client);
            });
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        let (mut client, server) = duplex(64 * 1024);
        let mut input = Input::new(server, budget.share(Origin::User(3)));
        let asked = Instant::now();
        let bytes = long();
        let (sent, line) = tokio::join!(client.write_all(&bytes), input.line(limits));
        sent.unwrap();
        assert_eq!(line.unwrap().unwrap().text.len(), 60 * 1024);
        assert!(
            asked.elapsed() <= Duration::from_secs(2),
            "{:?}",
            asked.elapsed()
        );
    }
}
