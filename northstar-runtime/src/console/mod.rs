//! The console: what speaks to clients. It parses, authorises and translates; nothing is decided here that is not
//! about the connection itself. The protocol's words are `northstar-api`'s, the answers are the supervisor's.
//!
//! ```text
//! listener -- accept --> slots (pending) --> handshake --> slots (established) --> connection
//!                                                                                   |      |
//!                                      input (lines, raw bytes) --> requests <------+      +------> output
//!                                                                    |  permissions                  ^   ^
//!                                                                    |  throttle           answers --+   |
//!                                                                    |  install            notifications-+
//!                                                                    v
//!                                                        translate <--> supervisor::Handle
//! ```
//!
//! A container has one connected console, made by the daemon: it goes straight to the handshake.
//!
//! Whatever a client sends or does not send, it costs a bounded amount of memory and time and affects its own
//! connection only.

mod agreed;
mod answers;
mod budget;
mod connection;
mod expected;
mod filter;
mod handshake;
mod input;
mod install;
mod listed;
mod listener;
mod output;
mod peer;
#[cfg(feature = "played")]
mod played;
mod received;
mod requests;
mod session;
mod slots;
mod socket;
#[cfg(test)]
mod tests;
mod throttle;
mod tls;
mod token;
mod translate;
mod unix;

pub use socket::ListenError;
pub use token::TokenKeyError;

use crate::{
    config::{self, ConnectionOptions},
    supervisor::{Asker, Handle},
};
use answers::Lengths;
use budget::Share;
use connection::Client;
use listed::Listed;
use northstar_manifest::{Container, Permissions};
use peer::Peer;
use std::{os::fd::AsFd, sync::Arc};
use token::Tokens;
use tokio::{net::UnixStream, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

/// All consoles of the daemon. Clones are the same.
#[derive(Clone, Debug)]
pub struct Console {
    context: Context,
}

/// What every connection needs of the daemon.
#[derive(Clone, Debug)]
struct Context {
    handle: Handle,
    tokens: Arc<Tokens>,
    listed: Arc<Listed>,
    lengths: Arc<Lengths>,
    /// Name of this run of the daemon.
    instance: Arc<str>,
    cancel: CancellationToken,
}

/// Listeners that run.
#[derive(Debug)]
pub struct Listening {
    /// The URLs under which they can be reached, with the ports that were chosen.
    pub urls: Vec<String>,
    /// Their tasks, which end after the console was cancelled and the last connection has closed.
    pub tasks: JoinSet<()>,
}

impl Context {
    /// The same, for one connection.
    fn by(&self, asker: Asker) -> Context {
        let handle = self.handle.by(asker);
        let context = self.clone();
        Context { handle, ..context }
    }
}

impl Console {
    /// The consoles of one daemon, with a token key of its own. When `cancel` is cancelled no connection is accepted
    /// any more, and those that are open get what was already on its way to them and are closed.
    pub fn new(handle: Handle, cancel: CancellationToken) -> Result<Console, TokenKeyError> {
        let tokens = Arc::new(Tokens::new()?);
        Ok(Console {
            context: Context {
                handle,
                tokens,
                listed: Arc::default(),
                lengths: Arc::default(),
                instance: token::instance()?.into(),
                cancel,
            },
        })
    }

    /// Binds all configured addresses and serves them. Nothing is served if one of them cannot be bound.
    pub async fn listen(&self, listeners: &[config::Listener]) -> Result<Listening, ListenError> {
        let mut bound = Vec::new();
        for listener in listeners {
            match socket::bind_all(&listener.address).await {
                Ok(sockets) => bound.push((sockets, listener.clone())),
                Err(error) => {
                    bound
                        .iter()
                        .flat_map(|(sockets, _)| sockets)
                        .for_each(socket::Bound::remove);
                    return Err(error);
                }
            }
        }
        let mut listening = Listening {
            urls: bound
                .iter()
                .flat_map(|(sockets, _)| sockets)
                .map(socket::Bound::url)
                .collect(),
            tasks: JoinSet::new(),
        };
        for (sockets, listener) in bound {
            listening
                .tasks
                .spawn(listener::serve(sockets, listener, self.context.clone()));
        }
        Ok(listening)
    }

    /// Serves the console of a container on the daemon's end of its socket, until either side closes it.
    pub async fn serve_container(
        &self,
        stream: UnixStream,
        container: Container,
        permissions: Permissions,
        options: ConnectionOptions,
    ) {
        received::refuse_descriptors(stream.as_fd());
        let (input, output) = received::split(stream);
        let client = container_client(container, permissions, options);
        connection::serve(input, output, client, self.context.clone()).await;
    }
}

/// The connection of a container, from now on.
fn container_client(
    container: Container,
    permissions: Permissions,
    options: ConnectionOptions,
) -> Client {
    Client {
        share: Share::alone(options.max_request_size),
        connect_by: options
            .connect_timeout
            .map(|timeout| Instant::now() + timeout),
        peer: Peer::Container(container),
        permissions,
        options,
        pending: None,
        limits: None,
    }
}
