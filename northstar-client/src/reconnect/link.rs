//! The task that keeps the connection and follows its events.

use std::sync::Arc;

use northstar_api::{Extension, Notification, Resume};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, watch},
    time::{Instant, sleep},
};

use super::{Connected, Gap, Happening};
use crate::{
    Backoff, Client, ConnectError, Endpoint, Event, Options,
    client::Fallback,
    notifications::{Followed, followed},
};

/// How often in a row a server that has numbered events may close the connection in the handshake before it is taken for one
/// that does not know extensions any more.
const CLOSED: u32 = 3;

/// The background task.
pub(super) struct Link {
    pub(super) endpoint: Endpoint,
    pub(super) options: Options,
    pub(super) backoff: Backoff,
    /// Of the last event that was handed on.
    pub(super) position: Option<Resume>,
    /// Whether there was something before that can be lost.
    pub(super) lost: bool,
    /// How often in a row the server has closed the connection in the handshake.
    pub(super) closed: u32,
    pub(super) told: mpsc::Sender<(Happening, Option<Resume>)>,
    pub(super) current: watch::Sender<Option<Client>>,
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
    pub(super) async fn run(mut self) {
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
