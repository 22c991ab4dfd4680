//! A connection that comes back, and a stream of events that goes on where it was lost.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::stream::Stream;
use northstar_api::{Extension, Notification, Resume};
use thiserror::Error;
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, watch},
    time::{Instant, sleep},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Backoff, Client, ConnectError, Disconnected, Endpoint, Event, Options, RequestError,
    client::Fallback,
    notifications::{Followed, followed},
};

/// Happenings that wait for their reader, beside the notifications that [`Options::notifications`] allows to wait. What
/// does not fit is asked for again.
const BUFFER: usize = 64;

/// How often in a row a server that has numbered events may close the connection in the handshake before it is taken for one
/// that does not know extensions any more.
const CLOSED: u32 = 3;

/// A connection that is made again whenever it is lost, and a [`Stream`] of what happens on it.
///
/// With a subscription the stream has to be read: while it is full, nothing goes on. [`Reconnecting::handle`] is for those
/// who ask.
#[derive(Debug)]
pub struct Reconnecting {
    happenings: mpsc::Receiver<(Happening, Option<Resume>)>,
    position: Option<Resume>,
    handle: Handle,
    _task: AbortOnDropHandle<()>,
}

/// Gives the connection of a [`Reconnecting`] to those who ask. Clones are for the same one.
#[derive(Clone, Debug)]
pub struct Handle(watch::Receiver<Option<Client>>);

/// What happens on a connection that comes back.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Happening {
    /// There is a connection.
    Connected(Connected),
    /// A notification.
    Event(Event),
    /// Events are missing. Whoever follows the state of containers has to ask for it.
    Gap(Gap),
    /// The connection is lost.
    Disconnected(Arc<Disconnected>),
    /// There is no connection. It is tried again after `pause`, however often it fails.
    Unreachable {
        /// Why not.
        error: Arc<ConnectError>,
        /// Time until the next try.
        pause: Duration,
    },
}

/// A new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// Whether events go on exactly where they were lost. Of a first connection: that there was nothing to be lost.
    pub complete: bool,
}

/// Why events are missing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Gap {
    /// The reader or the connection was too slow.
    #[error("{count} events were missed")]
    Missed {
        /// How many, before any filter.
        count: u64,
    },
    /// Another run of the daemon: events of the one before are gone with it.
    #[error("the daemon was started anew")]
    Restarted,
    /// The daemon no longer has all the events since the connection was lost.
    #[error("the daemon has forgotten events")]
    Forgotten,
    /// The daemon does not number events: nobody knows what happened while there was no connection.
    #[error("the daemon does not number events")]
    Unnumbered,
}

impl Reconnecting {
    /// Connects to `endpoint`, now and whenever the connection is lost, with pauses from `backoff` after failures.
    ///
    /// With [`Options::notifications`], asks for the extension `sequence` too. With [`Options::resume`] events go on after
    /// that position, which may be from another process.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(endpoint: Endpoint, mut options: Options, backoff: Backoff) -> Reconnecting {
        if options.notifications.is_some() {
            options.extensions.get_or_insert_default().sequence = true;
        }
        let position = options
            .extensions
            .as_mut()
            .and_then(|extensions| extensions.resume.take());
        let (told, happenings) = mpsc::channel(BUFFER);
        let (current_in, current) = watch::channel(None);
        let link = Link {
            endpoint,
            options,
            backoff,
            position: position.clone(),
            lost: position.is_some(),
            closed: 0,
            told,
            current: current_in,
        };
        Reconnecting {
            happenings,
            position,
            handle: Handle(current),
            _task: AbortOnDropHandle::new(tokio::spawn(link.run())),
        }
    }

    /// Waits for the next happening. It never ends.
    pub async fn next(&mut self) -> Option<Happening> {
        let (happening, position) = self.happenings.recv().await?;
        self.position = position;
        Some(happening)
    }

    /// Where a later [`Reconnecting`] has to go on in order to see everything after the last happening that was read. `None`
    /// as long as the daemon has not numbered anything.
    #[must_use]
    pub fn position(&self) -> Option<&Resume> {
        self.position.as_ref()
    }

    /// For those who have something to ask.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Stream for Reconnecting {
    type Item = Happening;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Happening>> {
        self.happenings.poll_recv(context).map(|told| {
            let (happening, position) = told?;
            self.position = position;
            Some(happening)
        })
    }
}

impl Handle {
    /// Waits for a connection. It may be lost right after.
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`] if the [`Reconnecting`] is gone.
    pub async fn client(&self) -> Result<Client, RequestError> {
        let mut current = self.0.clone();
        let gone = || RequestError::Closed(Arc::new(Disconnected::Aborted));
        // What the last task has left behind is no connection that comes back.
        current.has_changed().map_err(|_| gone())?;
        let client = current.wait_for(Option::is_some).await;
        client
            .ok()
            .and_then(|client| client.clone())
            .ok_or_else(gone)
    }

    /// The connection that there is now, if any. For who must not wait: it may be lost already.
    #[must_use]
    pub fn current(&self) -> Option<Client> {
        self.0.borrow().clone()
    }

    /// Does `request`, and does it again on the next connection if the connection is lost meanwhile. So it may be done more
    /// than once: for requests where that makes no difference, like `list` and `inspect`.
    ///
    /// # Errors
    ///
    /// Those of `request`, but for a lost connection.
    pub async fn retry<T, F>(&self, request: impl Fn(Client) -> F) -> Result<T, RequestError>
    where
        F: Future<Output = Result<T, RequestError>>,
    {
        loop {
            let client = self.client().await?;
            match request(client.clone()).await {
                Err(RequestError::Closed(_)) => {}
                done => return done,
            }
            // Until the lost connection has made room for the next one.
            let mut current = self.0.clone();
            let another = |now: &Option<Client>| !now.as_ref().is_some_and(|now| now.is(&client));
            if current.wait_for(another).await.is_err() {
                return Err(RequestError::Closed(client.closed().await));
            }
        }
    }
}

/// The background task.
struct Link {
    endpoint: Endpoint,
    options: Options,
    backoff: Backoff,
    /// Of the last event that was handed on.
    position: Option<Resume>,
    /// Whether there was something before that can be lost.
    lost: bool,
    /// How often in a row the server has closed the connection in the handshake.
    closed: u32,
    told: mpsc::Sender<(Happening, Option<Resume>)>,
    current: watch::Sender<Option<Client>>,
}

/// The reader is gone.
struct Gone;

/// Why a connection is no longer followed.
enum Left {
    Disconnected,
    /// Events came faster than they were read. The server still has them.
    Behind,
}

impl Link {
    async fn run(mut self) {
        let mut failures = 0;
        // Ends when nobody reads any more.
        while let Ok(next) = self.connection(failures).await {
            failures = next;
        }
    }

    /// One try, and what follows from it. Returns the number of failures in a row.
    async fn connection(&mut self, failures: u32) -> Result<u32, Gone> {
        let mut options = self.options.clone();
        if let Some(extensions) = &mut options.extensions {
            extensions.resume.clone_from(&self.position);
        }
        let begun = Instant::now();
        let pause = self.backoff.pause(failures);
        let (follower, followed) = followed(options.kept());
        let follower = options.notifications.map(|_| follower);
        // Without extensions the position would be lost, and a server that is full has not forgotten anything.
        let fallback = match self.position {
            Some(_) if self.closed < CLOSED => Fallback::None,
            _ => Fallback::Plain,
        };
        let connected =
            Client::connect_and_follow(&self.endpoint, options, follower, fallback).await;
        self.closed = match &connected {
            Err(ConnectError::Closed) => self.closed.saturating_add(1),
            _ => 0,
        };
        match connected {
            Err(error) => {
                let error = Arc::new(error);
                self.tell(Happening::Unreachable { error, pause }).await?;
            }
            Ok(client) => {
                let left = self.follow(&client, followed).await;
                self.current.send_replace(None);
                if let Left::Behind = left? {
                    return Ok(0);
                }
                let reason = client.closed().await;
                self.tell(Happening::Disconnected(reason)).await?;
                // A server that closes each connection at once is no better than one that is not there.
                if begun.elapsed() > self.backoff.longest {
                    return Ok(0);
                }
            }
        }
        sleep(pause).await;
        Ok(failures.saturating_add(1))
    }

    async fn follow(&mut self, client: &Client, mut followed: Followed) -> Result<Left, Gone> {
        let mut events = client.receiver();
        let gap = self.resume(client);
        self.current.send_replace(Some(client.clone()));
        let complete = gap.is_none();
        self.tell(Happening::Connected(Connected { complete }))
            .await?;
        if let Some(gap) = gap {
            self.tell(Happening::Gap(gap)).await?;
        }
        if client.has(Extension::Sequence) {
            drop(events);
            while let Some(event) = followed.next().await {
                self.event(event).await?;
            }
            return Ok(match followed.is_overflown() {
                true => Left::Behind,
                false => Left::Disconnected,
            });
        }
        drop(followed);
        loop {
            match events.recv().await {
                Ok(event) => self.event(event).await?,
                Err(RecvError::Closed) => return Ok(Left::Disconnected),
                Err(RecvError::Lagged(count)) => {
                    self.tell(Happening::Gap(Gap::Missed { count })).await?;
                }
            }
        }
    }

    /// Compares where events go on with where they were lost.
    fn resume(&mut self, client: &Client) -> Option<Gap> {
        self.options.notifications?;
        let lost = std::mem::replace(&mut self.lost, true);
        let granted = client
            .granted()
            .filter(|granted| granted.has(Extension::Sequence));
        let Some(granted) = granted else {
            self.position = None;
            return lost.then_some(Gap::Unnumbered);
        };
        if granted.resumed && self.position.is_some() {
            return None;
        }
        let before = self.position.replace(Resume {
            instance: granted.instance.clone(),
            sequence: granted.sequence,
        });
        match before {
            Some(before) if before.instance == granted.instance => Some(Gap::Forgotten),
            Some(_) => Some(Gap::Restarted),
            None => lost.then_some(Gap::Unnumbered),
        }
    }

    async fn event(&mut self, event: Event) -> Result<(), Gone> {
        if let (Some(position), Some(sequence)) = (&mut self.position, event.sequence) {
            position.sequence = sequence;
        }
        let happening = match event.notification {
            Notification::Lagged { missed: count } => Happening::Gap(Gap::Missed { count }),
            _ => Happening::Event(event),
        };
        self.tell(happening).await
    }

    async fn tell(&mut self, happening: Happening) -> Result<(), Gone> {
        let told = (happening, self.position.clone());
        if self.options.notifications.is_none() {
            // Nothing is lost with what nobody waits for, and the connection must not wait for a reader then.
            return match self.told.try_send(told) {
                Err(mpsc::error::TrySendError::Closed(_)) => Err(Gone),
                Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
            };
        }
        self.told.send(told).await.map_err(|_| Gone)
    }
}
