//! The stream of an install: exactly `size` raw bytes behind the request's line.
//!
//! The client writes all of them before it reads the answer. So whatever the answer is, all bytes are read first; what
//! nobody wants is thrown away. The bytes go straight to the supervisor's [`InstallSlot`]: this connection waits for
//! the disk, nobody else does.

use super::{input::Input, translate::Words};
use crate::{config::ConnectionOptions, supervisor::InstallSlot};
use bytes::BufMut;
use northstar_api as api;
use std::{io, time::Duration};
use tokio::{
    io::AsyncRead,
    time::{Instant, timeout},
};

/// How much is read at once to be thrown away, in bytes.
const SCRAP: usize = 64 * 1024;

/// The stream did not arrive: the connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error("the connection broke within a package")]
    Io(#[from] io::Error),
    #[error("the connection was closed {missing} bytes before the end of a package")]
    Truncated { missing: u64 },
    #[error("no byte of a package arrived for {0:?}")]
    Stalled(Duration),
    #[error("a package arrived with less than {rate} bytes per second")]
    TooSlow { rate: u32 },
}

/// Reads `size` bytes into `slot`, or into nothing if there is none. The inner result is what the slot has said so far.
pub(super) async fn receive<R: AsyncRead + Unpin>(
    input: &mut Input<R>,
    size: u64,
    mut slot: Result<InstallSlot, api::Error>,
    options: &ConnectionOptions,
    words: Words,
) -> Result<Result<InstallSlot, api::Error>, StreamError> {
    let mut body = Body::new(size, options);
    while let Ok(open) = &mut slot
        && !body.is_complete()
    {
        let size = body.read(input, open.room()).await?;
        // The slot's last word is its answer; what it has staged goes with it.
        if let Err(error) = open.advance(size).await {
            slot = Err(words.error(error));
        }
    }
    body.discard(input).await?;
    Ok(slot)
}

/// Reads `size` bytes and throws them away.
pub(super) async fn discard<R: AsyncRead + Unpin>(
    input: &mut Input<R>,
    size: u64,
    options: &ConnectionOptions,
) -> Result<(), StreamError> {
    Body::new(size, options).discard(input).await
}

/// The bytes that are still to come, and how long they may keep us waiting.
///
/// No pause may be longer than the timeout. In total the stream may take the timeout and what its bytes take at the
/// lowest rate: each byte that arrives earns the time for the next. Only the time spent waiting for the client counts,
/// not the time the disk needs.
#[derive(Debug)]
struct Body {
    missing: u64,
    pause: Duration,
    rate: u32,
    left: Duration,
}

impl Body {
    fn new(size: u64, options: &ConnectionOptions) -> Body {
        Body {
            missing: size,
            pause: options.npk_stream_timeout,
            rate: options.npk_min_rate.get(),
            left: options.npk_stream_timeout,
        }
    }

    fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Puts the next bytes where there is room, at least one; returns how many.
    async fn read<R: AsyncRead + Unpin>(
        &mut self,
        input: &mut Input<R>,
        room: impl BufMut + Send,
    ) -> Result<usize, StreamError> {
        let most = usize::try_from(self.missing).unwrap_or(usize::MAX);
        let mut room = room.limit(most);
        let asked = Instant::now();
        let size = match timeout(self.pause.min(self.left), input.raw(&mut room)).await {
            Ok(size) => size?,
            Err(_) if self.left < self.pause => {
                return Err(StreamError::TooSlow { rate: self.rate });
            }
            Err(_) => return Err(StreamError::Stalled(self.pause)),
        };
        if size == 0 {
            let missing = self.missing;
            return Err(StreamError::Truncated { missing });
        }
        self.missing = self.missing.saturating_sub(size as u64);
        let earned = Duration::from_secs_f64(size as f64 / f64::from(self.rate));
        self.left = self
            .left
            .saturating_sub(asked.elapsed())
            .saturating_add(earned);
        Ok(size)
    }

    /// Reads the rest and throws it away.
    async fn discard<R: AsyncRead + Unpin>(
        &mut self,
        input: &mut Input<R>,
    ) -> Result<(), StreamError> {
        let mut scrap = Vec::new();
        while !self.is_complete() {
            scrap.clear();
            scrap.reserve(SCRAP);
            self.read(input, (&mut scrap).limit(SCRAP)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::budget::Share, *};
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    fn options() -> ConnectionOptions {
        ConnectionOptions {
            npk_stream_timeout: Duration::from_secs(10),
            npk_min_rate: 100.try_into().unwrap(),
            ..ConnectionOptions::default()
        }
    }

    fn refusal() -> api::Error {
        let repository = "r".to_owned();
        api::Error::InvalidRepository { repository }
    }

    async fn refused(
        server: DuplexStream,
        size: u64,
    ) -> Result<Result<InstallSlot, api::Error>, StreamError> {
        let mut input = Input::new(server, Share::alone(0));
        receive(
            &mut input,
            size,
            Err(refusal()),
            &options(),
            Words::default(),
        )
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_package_is_read_to_its_end_and_no_further() {
        let (mut client, server) = duplex(1 << 20);
        let mut input = Input::new(server, Share::alone(0));
        client.write_all(&[b'x'; 300_000]).await.unwrap();
        client.write_all(b"next\n").await.unwrap();
        let words = Words::default();
        let answer = receive(&mut input, 300_000, Err(refusal()), &options(), words)
            .await
            .unwrap();
        assert!(
            matches!(answer, Err(api::Error::InvalidRepository { .. })),
            "{answer:?}"
        );
        let mut next = Vec::new();
        assert_eq!(input.raw(&mut (&mut next).limit(9)).await.unwrap(), 5);
        assert_eq!(next, b"next\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_early_is_noticed() {
        let (mut client, server) = duplex(64);
        client.write_all(b"12345").await.unwrap();
        drop(client);
        let error = refused(server, 7).await.unwrap_err();
        assert!(
            matches!(error, StreamError::Truncated { missing: 2 }),
            "{error:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_the_stream() {
        let (mut client, server) = duplex(1 << 20);
        client.write_all(&[0; 5000]).await.unwrap();
        let started = Instant::now();
        let error = refused(server, 5001).await.unwrap_err();
        assert!(matches!(error, StreamError::Stalled(_)), "{error:?}");
        assert_eq!(started.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn one_byte_per_second_is_too_slow() {
        let (mut client, server) = duplex(64);
        let started = Instant::now();
        let trickle = async {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let error = tokio::select! {
            answer = refused(server, 1 << 20) => answer.unwrap_err(),
            () = trickle => panic!("the pipe broke"),
        };
        assert!(
            matches!(error, StreamError::TooSlow { rate: 100 }),
            "{error:?}"
        );
        assert_eq!(started.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_to_the_lowest_rate_is_never_cut() {
        let (mut client, server) = duplex(64);
        let send = async {
            for _ in 0..100 {
                client.write_all(&[b'x'; 200]).await.unwrap();
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        };
        let (answer, ()) = tokio::join!(refused(server, 20_000), send);
        assert!(matches!(
            answer.unwrap(),
            Err(api::Error::InvalidRepository { .. })
        ));
    }
}
