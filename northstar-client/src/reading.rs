//! The half of a connection's task that reads: hands each response to its request, and notifications to everybody.

use std::{
    collections::{HashMap, VecDeque},
    sync::atomic::Ordering,
};

use bytes::Bytes;
use futures::StreamExt;
use northstar_api::{
    Envelope, Message, Progress, Response,
    codec::{self, LineSplitter},
};
use tokio::{io::AsyncRead, sync::mpsc};
use tokio_util::codec::FramedRead;

use crate::{Answer, Disconnected, Event, connection::Pending, notifications::Publisher};

/// Reads until the connection ends and says why.
pub(crate) async fn run<R: AsyncRead + Unpin>(
    mut reader: FramedRead<R, LineSplitter>,
    pending: mpsc::UnboundedReceiver<Pending>,
    mut publisher: Publisher,
) -> Disconnected {
    let mut waiting = Waiting::new(pending);
    loop {
        let line = match reader.next().await {
            Some(Ok(line)) => line,
            Some(Err(error)) => return Disconnected::Read(error),
            None => return Disconnected::ByServer,
        };
        let Envelope {
            id,
            sequence,
            message,
        } = match codec::decode_envelope(&line) {
            Ok(envelope) => envelope,
            Err(error) => return Disconnected::Read(error),
        };
        let done = match message {
            Message::Notification(notification) => {
                publisher.publish(Event {
                    sequence,
                    notification,
                });
                Ok(())
            }
            Message::Response(response) => waiting.answer(id, response, line),
            Message::Progress(progress) => waiting.progress(id, progress),
            _ => Err(Disconnected::OutOfPlace),
        };
        if let Err(reason) = done {
            return reason;
        }
    }
}

/// The requests that have no answer yet.
struct Waiting {
    /// From the half that writes, which tells of a request before it writes its first byte.
    new: mpsc::UnboundedReceiver<Pending>,
    by_id: HashMap<u64, Pending>,
    /// Those without id are answered in their order.
    in_order: VecDeque<Pending>,
}

impl Waiting {
    fn new(new: mpsc::UnboundedReceiver<Pending>) -> Waiting {
        Waiting {
            new,
            by_id: HashMap::new(),
            in_order: VecDeque::new(),
        }
    }

    fn update(&mut self) {
        while let Ok(pending) = self.new.try_recv() {
            match pending.id {
                Some(id) => drop(self.by_id.insert(id, pending)),
                None => self.in_order.push_back(pending),
            }
        }
    }

    fn answer(
        &mut self,
        id: Option<u64>,
        response: Response,
        line: Bytes,
    ) -> Result<(), Disconnected> {
        self.update();
        let pending = match id {
            Some(id) => self.by_id.remove(&id),
            None => self.in_order.pop_front(),
        };
        let pending = pending.ok_or(Disconnected::OutOfPlace)?;
        let refused = pending
            .sent
            .is_some_and(|sent| !sent.load(Ordering::Acquire));
        // The one who asked may be gone.
        let _ = pending.answer.send(Answer {
            line: text(&line),
            response,
        });
        if refused {
            return Err(Disconnected::InstallRefused);
        }
        Ok(())
    }

    fn progress(&mut self, id: Option<u64>, progress: Progress) -> Result<(), Disconnected> {
        self.update();
        let pending = id.and_then(|id| self.by_id.get(&id));
        let pending = pending.ok_or(Disconnected::OutOfPlace)?;
        if let Some(stage) = &pending.stage {
            stage.send_modify(|stage| stage.progress = Some(progress));
        }
        Ok(())
    }
}

/// The line is UTF-8: it was just read as JSON.
fn text(line: &Bytes) -> String {
    String::from_utf8_lossy(line).into_owned()
}
