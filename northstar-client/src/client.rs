//! The connection as callers see it; its requests are in `requests`.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use northstar_api::{Extension, Granted, RepositoryId, Request, Response};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{broadcast, mpsc, oneshot, watch},
    time,
};

use crate::{
    ConnectError, Disconnected, Endpoint, Event, Events, Notifications, Options, RequestError,
    connect::{self, Greeted},
    connection::{self, Ended, Jobs, Stage},
    install::Body,
    notifications::{Follower, Publisher},
};

/// Requests that wait for the connection. Callers wait for a place; the number only saves wake-ups.
const QUEUE: usize = 16;
/// Most requests under way, also if the server allows more.
const PLACES: usize = 1024;

/// A connection to a console. See the [crate] documentation.
///
/// Clones are the same connection, which ends with the last of them. Tasks may share one.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    timeout: Option<Duration>,
}

#[derive(Debug)]
struct Shared {
    jobs: mpsc::Sender<connection::Job>,
    urgent: mpsc::Sender<connection::Job>,
    ended: Ended,
    granted: Option<Box<Granted>>,
    /// Of the next request, with the extension `ids`.
    next_id: AtomicU64,
    events: broadcast::WeakSender<Event>,
    /// Holds what arrives before the first call of [`Client::notifications`].
    first: Mutex<Option<broadcast::Receiver<Event>>>,
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

/// What to do about a server that closes the connection when it is asked for extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// It may not know them: ask for nothing.
    Plain,
    /// It knows them: it is full, or ends.
    None,
}

/// A request that was handed over, and where its answer comes.
pub(crate) struct Submitted {
    pub(crate) id: Option<u64>,
    pub(crate) answer: oneshot::Receiver<Answer>,
}

impl Client {
    /// Connects to a console.
    ///
    /// # Errors
    ///
    /// If it cannot be reached, refuses the client, or takes longer than the timeout.
    pub async fn connect(endpoint: &Endpoint, options: Options) -> Result<Client, ConnectError> {
        Client::connect_and_follow(endpoint, options, None, Fallback::Plain).await
    }

    /// As [`Client::connect`], with `follower` for the events.
    pub(crate) async fn connect_and_follow(
        endpoint: &Endpoint,
        options: Options,
        follower: Option<Follower>,
        fallback: Fallback,
    ) -> Result<Client, ConnectError> {
        let timeout = options.timeout;
        let plain = Options {
            extensions: None,
            ..options.clone()
        };
        connect::within(timeout, async {
            let stream = connect::open(endpoint, options.tls.as_ref()).await?;
            let falls_back = fallback == Fallback::Plain && options.extensions.is_some();
            match connect::handshake(stream, &options).await {
                // A server that cannot read what it does not know closes without a word.
                Err(ConnectError::Closed) if falls_back => {
                    let stream = connect::open(endpoint, plain.tls.as_ref()).await?;
                    connect::handshake(stream, &plain).await
                }
                other => other,
            }
        })
        .await
        .map(|greeted| Client::run(greeted, &plain, follower))
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
        let handshake = connect::handshake(stream, &options);
        let greeted = connect::within(options.timeout, handshake).await?;
        Ok(Client::run(greeted, &options, None))
    }

    /// Starts the task of a connection.
    fn run<S>(greeted: Greeted<S>, options: &Options, follower: Option<Follower>) -> Client
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Greeted {
            reader,
            writer,
            granted,
        } = greeted;
        let (jobs, jobs_out) = mpsc::channel(QUEUE);
        let (urgent, urgent_out) = mpsc::channel(QUEUE);
        let (published, first) = broadcast::channel(options.kept());
        let (ended_in, ended) = watch::channel(None);
        let events = published.downgrade();
        let jobs_out = Jobs {
            jobs: jobs_out,
            urgent: urgent_out,
            places: places(granted.as_deref()),
        };
        let publisher = Publisher {
            everybody: published,
            follower,
        };
        tokio::spawn(connection::run(
            reader, writer, jobs_out, publisher, ended_in,
        ));
        let shared = Shared {
            jobs,
            urgent,
            ended,
            granted,
            next_id: AtomicU64::new(1),
            events,
            first: Mutex::new(Some(first)),
        };
        Client {
            shared: Arc::new(shared),
            timeout: options.request_timeout,
        }
    }

    /// The same connection with another limit for the time of a request; `None` for no limit.
    ///
    /// A request that takes longer fails with [`RequestError::Timeout`]; the connection stays usable, and what the server
    /// answers later is thrown away. Whether it was done is not known then.
    #[must_use]
    pub fn with_timeout(&self, timeout: Option<Duration>) -> Client {
        Client {
            shared: Arc::clone(&self.shared),
            timeout,
        }
    }

    /// What the server grants beyond protocol 0.9.2; `None` if nothing was asked for or the server knows of nothing.
    #[must_use]
    pub fn granted(&self) -> Option<&Granted> {
        self.shared.granted.as_deref()
    }

    /// Whether an extension is in force.
    #[must_use]
    pub fn has(&self, extension: Extension) -> bool {
        self.granted().is_some_and(|granted| granted.has(extension))
    }

    /// The notifications of this connection, if it subscribed to them. The first stream starts with
    /// the connection, further ones with their creation.
    #[must_use]
    pub fn notifications(&self) -> Notifications {
        Notifications::new(self.receiver())
    }

    /// As [`Client::notifications`], with numbers.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.receiver())
    }

    /// Whether both are the same connection.
    pub(crate) fn is(&self, other: &Client) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Why the connection has ended; waits until it has.
    pub async fn closed(&self) -> Arc<Disconnected> {
        self.ended().await
    }

    /// Sends any request but an install, and returns the response as it came. An install has no package here and ends the
    /// connection.
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`] and [`RequestError::Timeout`] only; what the server refuses is in the response.
    pub async fn request(&self, request: Request) -> Result<Answer, RequestError> {
        self.within(None, self.ask_and_wait(request, None)).await
    }

    /// Sends an install request with `size` bytes of `reader`, and returns the response as it came.
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`] and [`RequestError::Timeout`] only; what the server refuses is in the response.
    pub async fn request_install(
        &self,
        repository: RepositoryId,
        size: u64,
        reader: impl AsyncRead + Send + Unpin + 'static,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> Result<Answer, RequestError> {
        let body = Body::new(reader, size, progress);
        let moved = body.counter();
        let request = Request::Install { repository, size };
        self.within(Some(moved), self.ask_and_wait(request, Some(body)))
            .await
    }

    async fn ask_and_wait(
        &self,
        request: Request,
        body: Option<Body>,
    ) -> Result<Answer, RequestError> {
        let Submitted { answer, .. } = self.submit(request, body, None).await?;
        self.wait(answer).await
    }

    /// Hands a request over. From then on it is sent as a whole, whatever becomes of the caller.
    pub(crate) async fn submit(
        &self,
        request: Request,
        body: Option<Body>,
        stage: Option<Arc<watch::Sender<Stage>>>,
    ) -> Result<Submitted, RequestError> {
        let shared = &self.shared;
        let (answer_in, answer) = oneshot::channel();
        let ids = self.has(Extension::Ids);
        let id = ids.then(|| shared.next_id.fetch_add(1, Ordering::Relaxed));
        let queue = match request {
            Request::Cancel { .. } => &shared.urgent,
            _ => &shared.jobs,
        };
        // Without its package the server would take whatever follows for that.
        let body = body.or_else(|| match request {
            Request::Install { size, .. } => Some(Body::new(tokio::io::empty(), size, |_| {})),
            _ => None,
        });
        let job = connection::Job {
            request,
            id,
            body,
            answer: answer_in,
            stage,
        };
        match queue.send(job).await {
            Ok(()) => Ok(Submitted { id, answer }),
            Err(_) => Err(RequestError::Closed(self.ended().await)),
        }
    }

    /// Waits for the answer to a request that was handed over.
    pub(crate) async fn wait(
        &self,
        answer: oneshot::Receiver<Answer>,
    ) -> Result<Answer, RequestError> {
        match answer.await {
            Ok(answer) => Ok(answer),
            Err(_) => Err(RequestError::Closed(self.ended().await)),
        }
    }

    /// `request`, but not for longer than the limit without an answer or a change of `moved`.
    async fn within(
        &self,
        moved: Option<Arc<AtomicU64>>,
        request: impl Future<Output = Result<Answer, RequestError>>,
    ) -> Result<Answer, RequestError> {
        let Some(timeout) = self.timeout else {
            return request.await;
        };
        let mut request = pin!(request);
        let mut before = 0;
        loop {
            if let Ok(answer) = time::timeout(timeout, &mut request).await {
                return answer;
            }
            let now = moved
                .as_ref()
                .map_or(0, |moved| moved.load(Ordering::Relaxed));
            if now == before {
                return Err(RequestError::Timeout { timeout });
            }
            before = now;
        }
    }

    pub(crate) fn receiver(&self) -> broadcast::Receiver<Event> {
        let shared = &self.shared;
        let first = shared.first.lock();
        let first = first.unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| match shared.events.upgrade() {
            Some(sender) => sender.subscribe(),
            // The connection is gone: a stream that ends at once.
            None => broadcast::channel(1).1,
        })
    }

    /// Why the connection has ended; waits until it has.
    pub(crate) async fn ended(&self) -> Arc<Disconnected> {
        let mut ended = self.shared.ended.clone();
        let reason = ended
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|reason| reason.clone());
        reason.unwrap_or_else(|| Arc::new(Disconnected::Aborted))
    }
}

/// How many requests may be under way: one less than the server allows, so that a cancellation is always read.
fn places(granted: Option<&Granted>) -> usize {
    let allowed = granted
        .filter(|granted| granted.has(Extension::Ids))
        .and_then(|granted| usize::try_from(granted.limits.max_pending_requests).ok());
    allowed.map_or(PLACES, |allowed| allowed.saturating_sub(1).clamp(1, PLACES))
}
