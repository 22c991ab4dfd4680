//! The task that owns a connection.
//!
//! It writes the requests in the order they come, reads everything the server sends, hands each
//! response to the oldest request without one, and publishes notifications. Reading never waits for
//! writing, so a server that answers an install early cannot make both sides wait for each other.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use northstar_api::{
    Message, Notification, Request,
    codec::{self, CodecError, LineSplitter},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::{broadcast, mpsc, oneshot, watch},
    time,
};
use tokio_util::codec::FramedRead;

use crate::{Answer, Disconnected, install::Body};

/// How long an answer is waited for after writing has failed.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A request on its way.
pub(crate) struct Job {
    pub(crate) request: Request,
    /// What follows an install request.
    pub(crate) body: Option<Body>,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// A request that is sent, at least in part, and has no answer yet.
struct Pending {
    answer: oneshot::Sender<Answer>,
    /// Whether the request is sent as a whole.
    sent: Arc<AtomicBool>,
}

/// Why a connection ended, as soon as it has.
pub(crate) type Ended = watch::Receiver<Option<Arc<Disconnected>>>;

/// Runs a connection until one side ends it.
pub(crate) async fn run<R, W>(
    reader: FramedRead<R, LineSplitter>,
    writer: W,
    jobs: mpsc::Receiver<Job>,
    notifications: broadcast::Sender<Notification>,
    ended: watch::Sender<Option<Arc<Disconnected>>>,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (pending_in, pending_out) = mpsc::unbounded_channel();
    let mut reading = pin!(read(reader, pending_out, notifications));
    let reason = tokio::select! {
        reason = &mut reading => Some(reason),
        reason = write(writer, jobs, pending_in) => match reason {
            Some(reason @ Disconnected::Write(_)) => Some(last_words(reading, reason).await),
            reason => reason,
        },
    };
    ended.send_replace(reason.map(Arc::new));
}

/// A server that refuses a package and closes makes writing fail, but has said why before.
async fn last_words(
    reading: impl Future<Output = Disconnected>,
    reason: Disconnected,
) -> Disconnected {
    match time::timeout(LAST_WORDS, reading).await {
        Ok(refused @ Disconnected::InstallRefused) => refused,
        _ => reason,
    }
}

/// Reads until the connection ends and says why.
async fn read<R: AsyncRead + Unpin>(
    mut reader: FramedRead<R, LineSplitter>,
    mut pending: mpsc::UnboundedReceiver<Pending>,
    notifications: broadcast::Sender<Notification>,
) -> Disconnected {
    loop {
        let line = match reader.next().await {
            Some(Ok(line)) => line,
            Some(Err(error)) => return Disconnected::Read(error),
            None => return Disconnected::ByServer,
        };
        match codec::decode(&line) {
            Ok(Message::Notification(notification)) => {
                // Nobody may be listening.
                let _ = notifications.send(notification);
            }
            Ok(Message::Response(response)) => {
                let Ok(Pending { answer, sent }) = pending.try_recv() else {
                    return Disconnected::OutOfPlace;
                };
                // The one who asked may be gone.
                let _ = answer.send(Answer {
                    line: text(line),
                    response,
                });
                // The server has every byte of a request only after the last write of it returned, and the
                // flag is set right then.
                if !sent.load(Ordering::Acquire) {
                    return Disconnected::InstallRefused;
                }
            }
            Ok(_) => return Disconnected::OutOfPlace,
            Err(error) => return Disconnected::Read(error),
        }
    }
}

/// The line is UTF-8: it was just read as JSON.
fn text(line: Bytes) -> String {
    String::from_utf8_lossy(&line).into_owned()
}

/// Writes requests until there will be none any more (`None`) or the connection ends.
async fn write<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut jobs: mpsc::Receiver<Job>,
    pending: mpsc::UnboundedSender<Pending>,
) -> Option<Disconnected> {
    let mut buffer = BytesMut::new();
    while let Some(Job {
        request,
        body,
        answer,
    }) = jobs.recv().await
    {
        let sent = Arc::new(AtomicBool::new(false));
        if let Err(error) = codec::encode(&Message::Request(request), &mut buffer) {
            return Some(Disconnected::Write(error));
        }
        // Before the first byte: the answer may be faster than this task.
        if pending
            .send(Pending {
                answer,
                sent: Arc::clone(&sent),
            })
            .is_err()
        {
            return Some(Disconnected::Aborted);
        }
        let written = match body {
            Some(body) => write_with_body(&mut writer, &mut buffer, body).await,
            None => write_buffer(&mut writer, &mut buffer).await,
        };
        if let Err(reason) = written {
            return Some(reason);
        }
        sent.store(true, Ordering::Release);
    }
    // Best effort: the server sees the end of the stream either way.
    let _ = writer.shutdown().await;
    None
}

async fn write_buffer<W: AsyncWrite + Unpin>(
    writer: &mut W,
    buffer: &mut BytesMut,
) -> Result<(), Disconnected> {
    let written = writer.write_all(buffer).await;
    buffer.clear();
    written.map_err(|error| Disconnected::Write(CodecError::Io(error)))
}

async fn write_with_body<W: AsyncWrite + Unpin>(
    writer: &mut W,
    buffer: &mut BytesMut,
    mut body: Body,
) -> Result<(), Disconnected> {
    write_buffer(writer, buffer).await?;
    while body.missing() > 0 {
        let count = body.read(buffer).await.map_err(Disconnected::Body)?;
        if count == 0 {
            return Err(Disconnected::BodyTooShort {
                missing: body.missing(),
            });
        }
        write_buffer(writer, buffer).await?;
        body.advance(count);
    }
    Ok(())
}
