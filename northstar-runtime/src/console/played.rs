//! Connections without sockets, for tests that bring the bytes themselves and play the supervisor
//! ([`script`](crate::supervisor::script)).

use super::{
    Console, budget::Budget, connection, container_client, listener, peer::Peer, slots::Slots,
};
use crate::config::{self, ConnectionOptions};
use northstar_manifest::{Container, Permissions};
use tokio::io::{AsyncRead, AsyncWrite};

impl Console {
    /// Serves a process of user `uid` that has connected to a listener, until either side closes.
    pub async fn play_process<R, W>(
        &self,
        listener: &config::Listener,
        uid: u32,
        input: R,
        output: W,
    ) where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let slots = Slots::new(listener.limits.clone());
        let peer = Peer::Process {
            uid,
            gid: uid,
            pid: None,
        };
        let client = listener::client(listener, &slots, &Budget::new(), peer);
        connection::serve(input, output, client, self.context.clone()).await;
    }

    /// Serves a container as [`Console::serve_container`] does.
    pub async fn play_container<R, W>(
        &self,
        container: Container,
        permissions: Permissions,
        options: ConnectionOptions,
        input: R,
        output: W,
    ) where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let client = container_client(container, permissions, options);
        connection::serve(input, output, client, self.context.clone()).await;
    }
}
