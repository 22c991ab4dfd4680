//! What the server tells without being asked.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures::{
    StreamExt,
    stream::{BoxStream, Stream, unfold},
};
use northstar_api::Notification;
use thiserror::Error;
use tokio::sync::{
    broadcast::{self, Receiver, error::RecvError},
    mpsc::{self, error::TrySendError},
};

/// A notification and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number in this run of the daemon. `None` without the extension `sequence`.
    pub sequence: Option<u64>,
    /// What happened.
    pub notification: Notification,
}

/// Where the notifications of a connection go.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// For readers that are told how much they missed.
    pub(crate) everybody: broadcast::Sender<Event>,
    /// For the one that asks the server again for what it missed.
    pub(crate) follower: Option<Follower>,
}

/// The writing end of [`followed`].
#[derive(Debug)]
pub(crate) struct Follower {
    queue: mpsc::Sender<Event>,
    overflown: Arc<AtomicBool>,
}

/// The reading end of [`followed`].
#[derive(Debug)]
pub(crate) struct Followed {
    queue: mpsc::Receiver<Event>,
    overflown: Arc<AtomicBool>,
}

/// A queue that keeps its first `size` events, at least one, when it overflows, and ends then: what follows can be asked for again, and
/// each time the reader gets further.
pub(crate) fn followed(size: usize) -> (Follower, Followed) {
    let (queue_in, queue) = mpsc::channel(size);
    let overflown = Arc::<AtomicBool>::default();
    let follower = Follower {
        queue: queue_in,
        overflown: Arc::clone(&overflown),
    };
    (follower, Followed { queue, overflown })
}

impl Publisher {
    /// Hands an event to everybody who listens. Waits for nobody.
    pub(crate) fn publish(&mut self, event: Event) {
        if let Some(follower) = &self.follower {
            match follower.queue.try_send(event.clone()) {
                Ok(()) => {}
                Err(error) => {
                    let full = matches!(error, TrySendError::Full(_));
                    follower.overflown.store(full, Ordering::Release);
                    self.follower = None;
                }
            }
        }
        // Nobody may be listening.
        let _ = self.everybody.send(event);
    }
}

impl Followed {
    /// The next event; `None` at the end of the connection or of the queue.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        self.queue.recv().await
    }

    /// Whether the queue ended because it was full.
    pub(crate) fn is_overflown(&self) -> bool {
        self.overflown.load(Ordering::Acquire)
    }
}

/// Stream of the notifications of a connection. It ends when the connection does.
pub struct Notifications(BoxStream<'static, Result<Notification, Missed>>);

/// Stream of the notifications of a connection, with their numbers. It ends when the connection does.
pub struct Events(BoxStream<'static, Result<Event, Missed>>);

/// Notifications were dropped, because the stream was not read fast enough, here or at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{count} notifications were missed")]
pub struct Missed {
    /// How many.
    pub count: u64,
}

impl Notifications {
    pub(crate) fn new(receiver: Receiver<Event>) -> Notifications {
        let events = Events::new(receiver).0;
        Notifications(
            events
                .map(|event| event.map(|event| event.notification))
                .boxed(),
        )
    }
}

impl Events {
    pub(crate) fn new(receiver: Receiver<Event>) -> Events {
        let stream = unfold(receiver, |mut receiver| async {
            let item = match receiver.recv().await {
                Ok(Event {
                    notification: Notification::Lagged { missed },
                    ..
                }) => Err(Missed { count: missed }),
                Ok(event) => Ok(event),
                Err(RecvError::Lagged(count)) => Err(Missed { count }),
                Err(RecvError::Closed) => return None,
            };
            Some((item, receiver))
        });
        Events(stream.boxed())
    }
}

impl Stream for Notifications {
    type Item = Result<Notification, Missed>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl Stream for Events {
    type Item = Result<Event, Missed>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl fmt::Debug for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifications").finish_non_exhaustive()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
