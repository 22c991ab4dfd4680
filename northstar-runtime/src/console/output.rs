//! What a client is sent: the answers to its requests in their order, and the notifications it subscribed to.
//!
//! One future writes. Answers wait for it in an outbox of bounded size; notifications wait in the supervisor's ring,
//! which all clients share. A client that does not read for too long is disconnected. One that fell so far behind that
//! the ring has lost notifications it should have got is told so, if it has asked for numbers, and goes on. A client of
//! 0.9.2 has no way to see a gap: it is disconnected, and does what it does anyway, connect anew and `list`.

use super::{agreed::Agreed, budget::Memory, translate};
use crate::supervisor::{Events, Lag, Numbered};
use bytes::BytesMut;
use northstar_api::{Envelope, codec::CodecError};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

/// Bytes of answers that wait to be written. A longer answer waits until it is alone.
const ROOM: u32 = 64 * 1024;
/// Bytes after which no more is added to one write.
const BATCH: usize = 64 * 1024;

/// A message on its way to the client.
#[derive(Debug)]
struct Outgoing {
    line: BytesMut,
    _room: OwnedSemaphorePermit,
    memory: Option<Memory>,
}

/// Where answers are put.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: mpsc::UnboundedSender<Outgoing>,
    room: Arc<Semaphore>,
}

/// Why an answer is not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("nothing more is written")]
    Closed,
    #[error("an answer cannot be encoded")]
    Encode(#[from] CodecError),
    #[error("the answer to a long line is not read, and others wait for its memory")]
    Recalled,
}

/// Why nothing more can be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the client did not read for {0:?}")]
    Stalled(Duration),
    #[error("the answer to a long line is not read, and others wait for its memory")]
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
    queue: mpsc::UnboundedReceiver<Outgoing>,
    stall: Duration,
}

/// The two ends of an outbox that writes to `io`.
pub(super) fn outbox<W: AsyncWrite + Unpin>(io: W, stall: Duration) -> (Outbox, Output<W>) {
    let (sender, queue) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(ROOM as usize));
    let outbox = Outbox {
        queue: sender,
        room,
    };
    (outbox, Output { io, queue, stall })
}

impl Outbox {
    /// Queues a message, once there is room for it. `memory` is given back when it is written.
    pub(super) async fn send(
        &self,
        message: impl Into<Envelope>,
        memory: Option<Memory>,
    ) -> Result<(), SendError> {
        self.send_line(translate::line(&message.into())?, memory)
            .await
    }

    /// Queues a line as [`send`](Outbox::send) does.
    pub(super) async fn send_line(
        &self,
        line: BytesMut,
        memory: Option<Memory>,
    ) -> Result<(), SendError> {
        let size = u32::try_from(line.len()).map_or(ROOM, |size| size.min(ROOM));
        let room = Arc::clone(&self.room).acquire_many_owned(size);
        let room = match &memory {
            Some(memory) => tokio::select! {
                biased;
                room = room => room,
                () = memory.recalled() => return Err(SendError::Recalled),
            },
            None => room.await,
        };
        let outgoing = Outgoing {
            line,
            _room: room.map_err(|_| SendError::Closed)?,
            memory,
        };
        self.queue.send(outgoing).map_err(|_| SendError::Closed)
    }
}

impl Outbox {
    /// Queues a message that may as well be left out, if there is room for it at once.
    pub(super) fn offer(&self, message: impl Into<Envelope>) -> Result<(), SendError> {
        let line = translate::line(&message.into())?;
        let size = u32::try_from(line.len()).map_or(ROOM, |size| size.min(ROOM));
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(size) else {
            return Ok(());
        };
        let outgoing = Outgoing {
            line,
            _room: room,
            memory: None,
        };
        self.queue.send(outgoing).map_err(|_| SendError::Closed)
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
        // What was taken from the outbox makes room there when it is written, not before.
        let mut written = Vec::new();
        loop {
            let more = tokio::select! {
                biased;
                outgoing = self.queue.recv() => match outgoing {
                    Some(outgoing) => {
                        batch.extend_from_slice(&outgoing.line);
                        written.push(outgoing);
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
                if let Ok(outgoing) = self.queue.try_recv() {
                    batch.extend_from_slice(&outgoing.line);
                    written.push(outgoing);
                } else if let Some(line) = notifications.ready()? {
                    batch.extend(line);
                } else {
                    break;
                }
            }
            let held = written.iter().find_map(|of: &Outgoing| of.memory.as_ref());
            match held {
                Some(held) => tokio::select! {
                    biased;
                    result = self.write(&batch) => result?,
                    () = held.recalled() => return Err(WriteError::Recalled),
                },
                None => self.write(&batch).await?,
            }
            written.clear();
            if !more && batch.is_empty() {
                return Ok(());
            }
            batch.clear();
            batch.shrink_to(BATCH);
        }
    }

    /// Says that nothing more will come.
    pub(super) async fn close(&mut self) {
        // The client may be gone already.
        let _ = timeout(self.stall, self.io.shutdown()).await;
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        for part in bytes.chunks(BATCH) {
            // TLS takes bytes that it cannot send yet, and sends them when it is asked to.
            let written = async {
                self.io.write_all(part).await?;
                self.io.flush().await
            };
            match timeout(self.stall, written).await {
                Ok(result) => result?,
                Err(_) => return Err(WriteError::Stalled(self.stall)),
            }
        }
        Ok(())
    }
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
        let (outbox, mut output) = outbox(BufWriter::new(server), stall);
        outbox
            .send(Message::from(Response::Shutdown), None)
            .await
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
