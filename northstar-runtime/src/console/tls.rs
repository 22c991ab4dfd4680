//! Consoles over TLS 1.3 with certificates on both sides.
//!
//! ```text
//! accept(2) --> slots (pending) --> TLS handshake --> subject --> permissions --> like any other connection
//! ```
//!
//! The place, the deadline and the right to end the oldest pending connection count from accept(2): a client that is
//! slow in the TLS handshake is no better off than one that does not send `connect`.
//!
//! The files are looked at before each handshake, and now and then in between. If one has changed, all are read again; what
//! cannot be used leaves the last ones in force. When the authorities or their revocations have changed, the
//! connections that were judged by the old ones are closed: their clients come back and are judged anew.

mod current;
mod subject;
mod verifier;

use super::{
    Context,
    connection::{self, Client},
    peer::Peer,
};
use crate::{
    config::{Tls, tls::FileError},
    supervisor::report,
};
use current::{Current, LOOK, Look};
use northstar_manifest::Permissions;
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::spawn_blocking,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// How long a refused client may take to close, and what it may still send.
const FAREWELL: Duration = Duration::from_millis(250);
const FAREWELL_BYTES: u64 = 64 * 1024;

/// What turns TCP connections to one address into TLS connections.
#[derive(Debug)]
pub(super) struct Acceptor {
    tls: Tls,
    /// Locked while the files are read, so that they are read once.
    looking: Arc<tokio::sync::Mutex<()>>,
    current: Mutex<Arc<Current>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the daemon ends")]
    Cancelled,
    #[error("it made place for a newer one")]
    Evicted,
    #[error("no TLS handshake in time")]
    Late,
    #[error("the TLS handshake failed")]
    Handshake(#[from] io::Error),
    #[error("nothing is known about the subject of its certificate")]
    Unknown,
}

impl Acceptor {
    /// Reads the files.
    pub(super) fn new(tls: &Tls) -> Result<Acceptor, FileError> {
        let current = Current::read(tls)?;
        Ok(Acceptor {
            tls: tls.clone(),
            looking: Arc::default(),
            current: Mutex::new(Arc::new(current)),
        })
    }

    /// Serves a client that has connected, until the connection ends.
    pub(super) async fn serve(
        self: &Arc<Self>,
        stream: TcpStream,
        mut client: Client,
        context: Context,
    ) {
        let patience = client.options.connect_timeout;
        let deadline = Instant::now() + patience.unwrap_or(client.options.stall_timeout);
        let (stream, current) = match self.greet(stream, &client, &context, deadline).await {
            Ok(greeted) => greeted,
            Err(refusal) => {
                debug!("{}: connection refused: {}", client.peer, report(&refusal));
                return;
            }
        };
        let Some((subject, permissions)) = self.judge(&stream) else {
            debug!("{}: connection refused: {}", client.peer, Refusal::Unknown);
            return;
        };
        if let Peer::Tcp(address) = client.peer {
            client.peer = Peer::Tls { address, subject };
        }
        client.permissions = permissions;
        // What the handshake has used of the time is gone.
        client.options.connect_timeout =
            patience.map(|_| deadline.saturating_duration_since(Instant::now()));
        let peer = client.peer.to_string();
        let (input, output) = tokio::io::split(stream);
        tokio::select! {
            () = connection::serve(input, output, client, context) => {}
            () = current.outdated.cancelled() => {
                info!("{peer}: disconnected: its certificate has to be judged anew");
            }
        }
    }

    async fn greet(
        self: &Arc<Self>,
        stream: TcpStream,
        client: &Client,
        context: &Context,
        deadline: Instant,
    ) -> Result<(TlsStream<TcpStream>, Arc<Current>), Refusal> {
        let evicted = async {
            match &client.pending {
                Some(pending) => pending.evicted().await,
                None => std::future::pending().await,
            }
        };
        let handshake = async {
            self.look().await;
            let current = self.current();
            let acceptor = TlsAcceptor::from(Arc::clone(&current.config));
            match acceptor.accept(stream).into_fallible().await {
                Ok(stream) => Ok((stream, current)),
                Err((error, stream)) => {
                    farewell(stream).await;
                    Err(error.into())
                }
            }
        };
        tokio::select! {
            () = context.cancel.cancelled() => Err(Refusal::Cancelled),
            () = evicted => Err(Refusal::Evicted),
            done = timeout_at(deadline, handshake) => done.unwrap_or(Err(Refusal::Late)),
        }
    }

    /// What the certificate of the client says, which the handshake has verified.
    fn judge(&self, stream: &TlsStream<TcpStream>) -> Option<(String, Permissions)> {
        let (_, connection) = stream.get_ref();
        let certificate = connection.peer_certificates()?.first()?;
        let peer = subject::known(certificate, &self.tls.peers)?;
        Some((peer.subject.to_string(), peer.permissions.clone()))
    }

    /// Looks at the files now and then until the console is cancelled.
    pub(super) async fn watch(self: Arc<Self>, cancel: CancellationToken) {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = sleep(LOOK) => self.look().await,
            }
        }
    }

    /// Reads the files again if one of them has changed.
    async fn look(self: &Arc<Self>) {
        // A file system that hangs must not stop the daemon, and not more than one thread: the lock stays with the
        // thread when the client has given up.
        let one = Arc::clone(&self.looking).lock_owned().await;
        let acceptor = Arc::clone(self);
        let reload = move || {
            acceptor.reload();
            drop(one);
        };
        if let Err(error) = spawn_blocking(reload).await {
            warn!("the files of a console over TLS were not looked at: {error}");
        }
    }

    fn reload(&self) {
        let before = self.current();
        let stamps = self.tls.stamps();
        if before.look.stands(&stamps) {
            return;
        }
        let next = match Current::read(&self.tls) {
            Ok(mut next) => {
                info!(
                    "console on tls://{}:{}: certificates read again",
                    self.tls.host, self.tls.port
                );
                if next.trust == before.trust {
                    next.outdated = before.outdated.clone();
                } else {
                    before.outdated.cancel();
                }
                next
            }
            Err(error) => {
                warn!(
                    "the certificates from before stay in force: {}",
                    report(&error)
                );
                Current {
                    look: Look::failed(stamps, &error),
                    config: Arc::clone(&before.config),
                    trust: before.trust.clone(),
                    outdated: before.outdated.clone(),
                }
            }
        };
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads what a refused client has sent already. Closing before that would reset the connection, and the client might
/// never see the alert that says why (tcp(7)).
async fn farewell(mut stream: TcpStream) {
    let rest = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(FAREWELL_BYTES), &mut tokio::io::sink()).await
    };
    // The client may be gone already.
    let _ = timeout(FAREWELL, rest).await;
}
