//! What the server tells without being asked.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::{
    StreamExt,
    stream::{BoxStream, Stream, unfold},
};
use northstar_api::Notification;
use thiserror::Error;
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Stream of the notifications of a connection. It ends when the connection does.
pub struct Notifications(BoxStream<'static, Result<Notification, Missed>>);

/// Notifications were dropped, because the stream was not read fast enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{count} notifications were missed")]
pub struct Missed {
    /// How many.
    pub count: u64,
}

impl Notifications {
    pub(crate) fn new(receiver: Receiver<Notification>) -> Notifications {
        let stream = unfold(receiver, |mut receiver| async {
            let item = match receiver.recv().await {
                Ok(notification) => Ok(notification),
                Err(RecvError::Lagged(count)) => Err(Missed { count }),
                Err(RecvError::Closed) => return None,
            };
            Some((item, receiver))
        });
        Notifications(stream.boxed())
    }
}

impl Stream for Notifications {
    type Item = Result<Notification, Missed>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl std::fmt::Debug for Notifications {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifications").finish_non_exhaustive()
    }
}
