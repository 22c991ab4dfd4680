//! The connection as callers see it; its requests are in `requests`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use northstar_api::{Notification, RepositoryId, Request, Response};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{broadcast, mpsc, oneshot, watch},
};

use crate::{
    ConnectError, Disconnected, Endpoint, Notifications, Options, RequestError, connect,
    connection::{self, Ended, Job},
    install::Body,
};

/// Requests that wait for the connection. Callers wait for a place; the number only saves wake-ups.
const QUEUE: usize = 16;

/// A connection to a console. See the [crate] documentation.
#[derive(Debug)]
pub struct Client {
    jobs: mpsc::Sender<Job>,
    ended: Ended,
    notifications: broadcast::WeakSender<Notification>,
    /// Holds what arrives before the first call of [`Client::notifications`].
    first: Mutex<Option<broadcast::Receiver<Notification>>>,
}

/// A response, and the line it came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The line as it was received, with the envelope and without the line end.
    pub line: String,
    /// The response.
    pub response: Response,
}

/// What a start may do differently from the manifest. Needs the permission `start_command`, unless
/// it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartOptions {
    /// Program instead of the manifest's; `<INIT>` in it stands for the manifest's.
    pub init: Option<String>,
    /// Arguments instead of the manifest's, if not empty.
    pub arguments: Vec<String>,
    /// Variables on top of the manifest's.
    pub environment: BTreeMap<String, String>,
}

impl Client {
    /// Connects to a console.
    ///
    /// # Errors
    ///
    /// If it cannot be reached, refuses the client, or takes longer than the timeout.
    pub async fn connect(endpoint: &Endpoint, options: Options) -> Result<Client, ConnectError> {
        let timeout = options.timeout;
        connect::within(timeout, async {
            Client::from_stream(connect::open(endpoint).await?, options).await
        })
        .await
    }

    /// Takes the console that a container finds in `NORTHSTAR_CONSOLE`. This works once in a process.
    ///
    /// # Errors
    ///
    /// If there is no console in the environment, it refuses the client, or it takes longer than the
    /// timeout.
    pub async fn from_env(options: Options) -> Result<Client, ConnectError> {
        let stream = connect::from_env()?;
        Client::from_stream(stream, options).await
    }

    /// Makes the handshake on a stream that is connected already.
    ///
    /// # Errors
    ///
    /// If the server refuses the client or takes longer than the timeout.
    pub async fn from_stream<S>(stream: S, options: Options) -> Result<Client, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (reader, mut writer) = tokio::io::split(stream);
        let handshake = connect::handshake(reader, &mut writer, &options);
        let reader = connect::within(options.timeout, handshake).await?;

        let (jobs, jobs_out) = mpsc::channel(QUEUE);
        let (published, first) = broadcast::channel(options.notifications.unwrap_or(0).max(1));
        let (ended_in, ended) = watch::channel(None);
        let notifications = published.downgrade();
        tokio::spawn(connection::run(
            reader, writer, jobs_out, published, ended_in,
        ));
        Ok(Client {
            jobs,
            ended,
            notifications,
            first: Mutex::new(Some(first)),
        })
    }

    /// The notifications of this connection, if it subscribed to them. The first stream starts with
    /// the connection, further ones with their creation.
    #[must_use]
    pub fn notifications(&self) -> Notifications {
        let first = self
            .first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Notifications::new(first.unwrap_or_else(|| match self.notifications.upgrade() {
            Some(sender) => sender.subscribe(),
            // The connection is gone: a stream that ends at once.
            None => broadcast::channel(1).1,
        }))
    }

    /// Sends any request but an install, and returns the response as it came.
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`] only; what the server refuses is in the response.
    pub async fn request(&self, request: Request) -> Result<Answer, RequestError> {
        self.submit(request, None).await
    }

    /// Sends an install request with `size` bytes of `reader`, and returns the response as it came.
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`] only; what the server refuses is in the response.
    pub async fn request_install(
        &self,
        repository: RepositoryId,
        size: u64,
        reader: impl AsyncRead + Send + Unpin + 'static,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> Result<Answer, RequestError> {
        let body = Body::new(reader, size, progress);
        self.submit(Request::Install { repository, size }, Some(body))
            .await
    }

    async fn submit(&self, request: Request, body: Option<Body>) -> Result<Answer, RequestError> {
        let (answer, answered) = oneshot::channel();
        let job = Job {
            request,
            body,
            answer,
        };
        if self.jobs.send(job).await.is_ok()
            && let Ok(answer) = answered.await
        {
            return Ok(answer);
        }
        Err(RequestError::Closed(self.ended().await))
    }

    /// Why the connection has ended; waits until it has.
    pub(crate) async fn ended(&self) -> Arc<Disconnected> {
        let mut ended = self.ended.clone();
        let reason = ended
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|reason| reason.clone());
        reason.unwrap_or_else(|| Arc::new(Disconnected::Aborted))
    }
}
