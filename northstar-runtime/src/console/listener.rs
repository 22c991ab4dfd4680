//! Where consoles are served: sockets are bound here, and connections accepted until the daemon ends.
//!
//! Nothing a client or the kernel does ends a listener. If a connection cannot be accepted, most likely because there
//! are no descriptors left, the oldest connection that has not yet said who it is gives up its own, and after a pause
//! that grows from try to try the listener goes on.

use super::{
    Context,
    budget::{Budget, Share},
    connection::{self, Client},
    peer::Peer,
    received,
    slots::Slots,
    socket::{Bound, Stream},
};
use crate::config;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tracing::{debug, info, warn};

/// First and longest pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Serves one listener until the console is cancelled, then waits for its connections to end.
pub(super) async fn serve(bound: Vec<Bound>, listener: config::Listener, context: Context) {
    let listener = Arc::new(listener);
    let slots = Slots::new(listener.limits.clone());
    let budget = Budget::new();
    let mut sockets = JoinSet::new();
    // All addresses of a listener have the same certificates.
    if let Some(Bound::Tls(_, _, acceptor)) = bound.first() {
        sockets.spawn(Arc::clone(acceptor).watch(context.cancel.clone()));
    }
    for bound in bound {
        info!("console on {bound}, permissions: {}", listener.permissions);
        let accepting = Accepting {
            bound,
            listener: Arc::clone(&listener),
            context: context.clone(),
            slots: Arc::clone(&slots),
            budget: budget.clone(),
        };
        sockets.spawn(accepting.run());
    }
    while sockets.join_next().await.is_some() {}
}

struct Accepting {
    bound: Bound,
    listener: Arc<config::Listener>,
    context: Context,
    slots: Arc<Slots>,
    budget: Budget,
}

impl Accepting {
    async fn run(self) {
        let mut connections = JoinSet::new();
        let mut pause = PAUSE;
        loop {
            let accepted = tokio::select! {
                () = self.context.cancel.cancelled() => break,
                // Ended connections are collected as they end.
                Some(_) = connections.join_next() => continue,
                accepted = self.bound.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    pause = PAUSE;
                    connections.spawn(self.connection(stream, peer));
                }
                // The client gave up while it waited: the next one has not.
                Err(error) if is_about_the_client(&error) => {
                    debug!("console on {}: {error}", self.bound)
                }
                Err(error) => {
                    warn!(
                        "console on {}: cannot accept: {error}; next try in {pause:?}",
                        self.bound
                    );
                    self.slots.evict_oldest();
                    tokio::select! {
                        () = self.context.cancel.cancelled() => break,
                        () = sleep(pause) => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        self.bound.remove();
        while connections.join_next().await.is_some() {}
    }

    fn connection(&self, stream: Stream, peer: Peer) -> impl Future<Output = ()> + Send + use<> {
        let client = client(&self.listener, &self.slots, &self.budget, peer);
        let context = self.context.clone();
        async move {
            match stream {
                Stream::Tcp(stream) => {
                    let (input, output) = stream.into_split();
                    connection::serve(input, output, client, context).await;
                }
                Stream::Tls(stream, acceptor) => {
                    acceptor.serve(stream, client, context).await;
                }
                Stream::Unix(stream) => {
                    let (input, output) = received::split(stream);
                    connection::serve(input, output, client, context).await;
                }
            }
        }
    }
}

/// A connection that `peer` has made to a listener, from now on.
pub(super) fn client(
    listener: &config::Listener,
    slots: &Arc<Slots>,
    budget: &Budget,
    peer: Peer,
) -> Client {
    let options = listener.options.clone();
    let share = match peer.origin() {
        Some(origin) => budget.share(origin),
        None => Share::alone(options.max_request_size),
    };
    Client {
        permissions: peer.permissions(listener),
        peer,
        pending: Some(slots.admit()),
        limits: Some(listener.limits.clone()),
        share,
        connect_by: options
            .connect_timeout
            .map(|timeout| Instant::now() + timeout),
        options,
    }
}

/// Errors of accept(2) that speak of the connection that was about to be accepted.
fn is_about_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, NotConnected};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | NotConnected
    )
}
