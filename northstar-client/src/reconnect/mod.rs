//! A connection that comes back, and a stream of events that goes on where it was lost.

mod link;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::stream::Stream;
use northstar_api::Resume;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::{Backoff, Client, ConnectError, Disconnected, Endpoint, Event, Options, RequestError};
use link::Link;

/// Happenings that wait for their reader, beside the notifications that [`Options::notifications`] allows to wait. What
/// does not fit is asked for again.
const BUFFER: usize = 64;

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
