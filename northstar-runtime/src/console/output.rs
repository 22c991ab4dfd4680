//! What a client is sent: the answers to its requests in their order, and the notifications it subscribed to.
//!
//! One future writes. Answers wait for it in an outbox, and what they take there is paid for; notifications wait in the supervisor's ring,
//! which all clients share. A client that does not read for too long is disconnected. One that fell so far behind that
//! the ring has lost notifications it should have got is told so, if it has asked for numbers, and goes on. A client of
//! 0.9.2 has no way to see a gap: it is disconnected, and does what it does anyway, connect anew and `list`.

use super::{
    agreed::Agreed,
    answers::{Answers, Held},
    budget::{Memory, Share},
    translate,
};
use crate::supervisor::{Events, Lag, Numbered};
use bytes::BytesMut;
use northstar_api::{Envelope, codec::CodecError};
use std::{collections::VecDeque, io, pin::pin, time::Duration};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::timeout,
};

/// Bytes after which no more is added to one write.
const BATCH: usize = 32 * 1024;
/// Bytes that are kept for the next write.
const KEPT: usize = 8 * 1024;

/// A message on its way to the client.
#[derive(Debug)]
struct Outgoing {
    line: BytesMut,
    held: Held,
}

/// Where answers are put. It has no length of its own: what is in it is paid for.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: mpsc::UnboundedSender<Outgoing>,
    /// Where they get their memory.
    pub answers: Answers,
}

/// Why an answer is not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("nothing more is written")]
    Closed,
    #[error("an answer cannot be encoded")]
    Encode(#[from] CodecError),
}

/// Why nothing more can be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the client did not read for {0:?}")]
    Stalled(Duration),
    #[error("answers are not read, and others wait for their memory")]
    Recalled,
    #[error("the client missed {0} notifications")]
    Lagged(u64),
    #[error("a notification cannot be encoded")]
    Encode(#[from] CodecError),
}

/// The sending half of a connection.
#[derive(Debug)]
pub(super) struct Output<W> {
    io: W,
    queue: Queue,
    stall: Duration,
}

/// The far end of an outbox.
#[derive(Debug)]
struct Queue {
    channel: mpsc::UnboundedReceiver<Outgoing>,
    /// What came while something else was being written.
    taken: VecDeque<Outgoing>,
}

/// The two ends of an outbox that writes to `io`, with memory out of `share`.
pub(super) fn outbox<W: AsyncWrite + Unpin>(
    io: W,
    stall: Duration,
    share: Share,
) -> (Outbox, Output<W>) {
    let (sender, channel) = mpsc::unbounded_channel();
    let outbox = Outbox {
        queue: sender,
        answers: Answers::new(share),
    };
    let queue = Queue {
        channel,
        taken: VecDeque::new(),
    };
    (outbox, Output { io, queue, stall })
}

impl Outbox {
    /// Queues a message. What is held for it is given back when it is written.
    pub(super) fn send(&self, message: impl Into<Envelope>, held: Held) -> Result<(), SendError> {
        self.send_line(translate::line(&message.into())?, held)
    }

    /// Queues a line as [`send`](Outbox::send) does.
    pub(super) fn send_line(&self, line: BytesMut, held: Held) -> Result<(), SendError> {
        let outgoing = Outgoing { line, held };
        self.queue.send(outgoing).map_err(|_| SendError::Closed)
    }

    /// Queues a message that may as well be left out, if there is room for it at once.
    pub(super) fn offer(&self, message: impl Into<Envelope>) -> Result<(), SendError> {
        let line = translate::line(&message.into())?;
        match self.answers.spare(line.len()) {
            Some(held) => self.send_line(line, held),
            None => Ok(()),
        }
    }
}

impl Queue {
    /// The next message; `None` when there will be no more.
    async fn next(&mut self) -> Option<Outgoing> {
        match self.taken.pop_front() {
            Some(outgoing) => Some(outgoing),
            None => self.channel.recv().await,
        }
    }

    /// A message that is there already.
    fn ready(&mut self) -> Option<Outgoing> {
        let taken = self.taken.pop_front();
        taken.or_else(|| self.channel.try_recv().ok())
    }

    /// Watches over `write`, which holds what was `written`: whoever does not read gives back what others wait for.
    async fn during(
        &mut self,
        written: &[Held],
        write: impl Future<Output = Result<(), WriteError>>,
    ) -> Result<(), WriteError> {
        let mut write = pin!(write);
        loop {
            let waiting = self.taken.iter().map(|outgoing| &outgoing.held);
            let oldest = written.iter().chain(waiting).find_map(Held::memory);
            let recalled = async {
                match oldest {
                    Some(memory) => Memory::recalled(memory).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                result = &mut write => return result,
                () = recalled => return Err(WriteError::Recalled),
                Some(outgoing) = self.channel.recv() => self.taken.push_back(outgoing),
            }
        }
    }
}

/// The notifications of a client that subscribed, or none for ever.
#[derive(Debug)]
pub(super) struct Notifications<'a> {
    pub events: Option<Events>,
    pub agreed: &'a Agreed,
}

impl Notifications<'_> {
    /// The next notification; `None` when there will be no more.
    async fn next(&mut self) -> Result<Option<BytesMut>, WriteError> {
        loop {
            let Some(events) = &mut self.events else {
                return std::future::pending().await;
            };
            let Some(event) = events.next().await else {
                self.events = None;
                return Ok(None);
            };
            if let Some(line) = self.line(event)? {
                return Ok(Some(line));
            }
        }
    }

    /// A notification that is there already.
    fn ready(&mut self) -> Result<Option<BytesMut>, WriteError> {
        while let Some(event) = self.events.as_mut().and_then(Events::ready) {
            if let Some(line) = self.line(event)? {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// What the client is told about an event, if anything.
    fn line(&self, event: Result<Numbered, Lag>) -> Result<Option<BytesMut>, WriteError> {
        let message = match event {
            Ok(numbered) => translate::notification(numbered, self.agreed),
            Err(lag) if self.agreed.sequence => Some(translate::lagged(lag)),
            Err(lag) => return Err(WriteError::Lagged(lag.missed)),
        };
        Ok(message.as_ref().map(translate::line).transpose()?)
    }
}

impl<W: AsyncWrite + Unpin> Output<W> {
    /// Writes answers and notifications until all ends of the outbox are gone, and what is there then.
    pub(super) async fn deliver(
        &mut self,
        mut notifications: Notifications<'_>,
    ) -> Result<(), WriteError> {
        let mut batch: Vec<u8> = Vec::new();
        // What was taken from the outbox is given back when it is written, not before.
        let mut written = Vec::new();
        loop {
            let more = tokio::select! {
                biased;
                outgoing = self.queue.next() => match outgoing {
                    Some(Outgoing { line, held }) => {
                        batch.extend_from_slice(&line);
                        written.push(held);
                        true
                    }
                    None => false,
                },
                notification = notifications.next() => {
                    batch.extend(notification?.unwrap_or_default());
                    true
                }
            };
            while batch.len() < BATCH {
                if let Some(Outgoing { line, held }) = self.queue.ready() {
                    batch.extend_from_slice(&line);
                    written.push(held);
                } else if let Some(line) = notifications.ready()? {
                    batch.extend(line);
                } else {
                    break;
                }
            }
            let write = write(&mut self.io, &batch, self.stall);
            self.queue.during(&written, write).await?;
            written.clear();
            if !more && batch.is_empty() {
                return Ok(());
            }
            batch.clear();
            batch.shrink_to(KEPT);
        }
    }

    /// Says that nothing more will come.
    pub(super) async fn close(&mut self) {
        // The client may be gone already.
        let _ = timeout(self.stall, self.io.shutdown()).await;
    }
}

/// Writes all of `bytes`, with less than `stall` between two parts of them.
async fn write<W: AsyncWrite + Unpin>(
    io: &mut W,
    bytes: &[u8],
    stall: Duration,
) -> Result<(), WriteError> {
    for part in bytes.chunks(BATCH) {
        // TLS takes bytes that it cannot send yet, and sends them when it is asked to.
        let written = async {
            io.write_all(part).await?;
            io.flush().await
        };
        match timeout(stall, written).await {
            Ok(result) => result?,
            Err(_) => return Err(WriteError::Stalled(stall)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use northstar_api::{Message, Response};
    use tokio::io::{AsyncBufReadExt, BufReader, BufWriter, duplex};

    #[tokio::test(start_paused = true)]
    async fn nothing_stays_in_a_stream_that_holds_back_what_it_is_given() {
        let (client, server) = duplex(1024);
        let stall = Duration::from_secs(1);
        let (outbox, mut output) = outbox(BufWriter::new(server), stall, Share::alone(0));
        outbox
            .send(Message::from(Response::Shutdown), Held::default())
            .unwrap();
        let agreed = Agreed::default();
        let notifications = Notifications {
            events: None,
            agreed: &agreed,
        };
        let mut line = String::new();
        let mut client = BufReader::new(client);
        tokio::select! {
            read = timeout(stall, client.read_line(&mut line)) => drop(read.unwrap().unwrap()),
            delivered = output.deliver(notifications) => panic!("{delivered:?}"),
        }
        assert_eq!(line, "{\"response\":\"shutdown\"}\n");
    }
}
