//! The client: one method per request.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use northstar_api::{
    Container, ContainerResult, InspectData, InspectResult, InstallResult, Name, Notification,
    RepositoryId, Request, Response, Token, VerificationResult,
};
use tokio::{
    fs::File,
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

    async fn ask<T>(
        &self,
        request: Request,
        read: impl FnOnce(Response) -> Result<T, RequestError>,
    ) -> Result<T, RequestError> {
        accept(self.request(request).await?.response, read)
    }

    /// Who this client is to the server: its container, or `extern:0.0.0` outside.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn ident(&self) -> Result<Container, RequestError> {
        self.ask(Request::Ident, |response| match response {
            Response::Ident(container) => Ok(container),
            other => Err(unexpected(other)),
        })
        .await
    }

    /// The installed containers.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn list(&self) -> Result<Vec<Container>, RequestError> {
        self.ask(Request::List, |response| match response {
            Response::List(containers) => Ok(containers),
            other => Err(unexpected(other)),
        })
        .await
    }

    /// The repositories.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn repositories(&self) -> Result<Vec<RepositoryId>, RequestError> {
        self.ask(Request::Repositories, |response| match response {
            Response::Repositories(repositories) => Ok(repositories),
            other => Err(unexpected(other)),
        })
        .await
    }

    /// Manifest and state of a container.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn inspect(&self, container: Container) -> Result<InspectData, RequestError> {
        self.ask(Request::Inspect { container }, |response| match response {
            Response::Inspect(InspectResult::Ok { data, .. }) => Ok(*data),
            Response::Inspect(InspectResult::Error { error, .. }) => Err(error.into()),
            other => Err(unexpected(other)),
        })
        .await
    }

    /// Mounts containers. The results are in the order of `containers`.
    ///
    /// # Errors
    ///
    /// See [`RequestError`]; what is wrong with a single container is in its result.
    pub async fn mount(
        &self,
        containers: impl IntoIterator<Item = Container>,
    ) -> Result<Vec<ContainerResult>, RequestError> {
        let containers = containers.into_iter().collect();
        self.ask(Request::Mount { containers }, |response| match response {
            Response::Mount(results) => Ok(results),
            other => Err(unexpected(other)),
        })
        .await
    }

    /// Unmounts containers. The results are in the order of `containers`.
    ///
    /// # Errors
    ///
    /// See [`RequestError`]; what is wrong with a single container is in its result.
    pub async fn umount(
        &self,
        containers: impl IntoIterator<Item = Container>,
    ) -> Result<Vec<ContainerResult>, RequestError> {
        let containers = containers.into_iter().collect();
        self.ask(Request::Umount { containers }, |response| match response {
            Response::Umount(results) => Ok(results),
            other => Err(unexpected(other)),
        })
        .await
    }

    /// Starts a container as its manifest says. Its program is running when this returns.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn start(&self, container: Container) -> Result<(), RequestError> {
        self.start_with(container, StartOptions::default()).await
    }

    /// Starts a container in another way than its manifest says.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn start_with(
        &self,
        container: Container,
        options: StartOptions,
    ) -> Result<(), RequestError> {
        let StartOptions {
            init,
            arguments,
            environment,
        } = options;
        let request = Request::Start {
            container,
            init,
            arguments,
            environment,
        };
        self.ask(request, |response| match response {
            Response::Start(result) => done(result),
            other => Err(unexpected(other)),
        })
        .await
    }

    /// Sends the signal with the number `signal` to a container.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn kill(&self, container: Container, signal: i32) -> Result<(), RequestError> {
        self.ask(
            Request::Kill { container, signal },
            |response| match response {
                Response::Kill(result) => done(result),
                other => Err(unexpected(other)),
            },
        )
        .await
    }

    /// Installs the package that is the first `size` bytes of `reader`. `progress` is called with the
    /// number of bytes sent so far.
    ///
    /// The whole package is sent even if the future is dropped meanwhile.
    ///
    /// # Errors
    ///
    /// See [`RequestError`]. If `reader` fails or ends early, the connection is closed, since the server
    /// waits for bytes that will not come.
    pub async fn install(
        &self,
        repository: impl Into<RepositoryId>,
        size: u64,
        reader: impl AsyncRead + Send + Unpin + 'static,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> Result<Container, RequestError> {
        let answer = self
            .request_install(repository.into(), size, reader, progress)
            .await?;
        accept(answer.response, |response| match response {
            Response::Install(InstallResult::Ok { container }) => Ok(container),
            Response::Install(InstallResult::Error { error }) => Err(error.into()),
            other => Err(unexpected(other)),
        })
    }

    /// Installs the package in the file `path`. `progress` is called with the number of bytes sent so
    /// far.
    ///
    /// # Errors
    ///
    /// See [`Client::install`]; [`RequestError::Package`] if the file cannot be opened.
    pub async fn install_file(
        &self,
        repository: impl Into<RepositoryId>,
        path: &Path,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> Result<Container, RequestError> {
        let error = |source| RequestError::Package {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).await.map_err(error)?;
        let size = file.metadata().await.map_err(error)?.len();
        self.install(repository, size, file, progress).await
    }

    /// Removes a container from its repository, with its persistent data if `wipe`.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn uninstall(&self, container: Container, wipe: bool) -> Result<(), RequestError> {
        self.ask(
            Request::Uninstall { container, wipe },
            |response| match response {
                Response::Uninstall(result) => done(result),
                other => Err(unexpected(other)),
            },
        )
        .await
    }

    /// Creates a token that `target` can verify, who has to know `shared` too.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn create_token(&self, target: Name, shared: Vec<u8>) -> Result<Token, RequestError> {
        self.ask(
            Request::TokenCreate { target, shared },
            |response| match response {
                Response::Token(token) => Ok(token),
                other => Err(unexpected(other)),
            },
        )
        .await
    }

    /// Verifies that `user` created `token` for this client and with `shared`.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn verify_token(
        &self,
        token: Token,
        user: Name,
        shared: Vec<u8>,
    ) -> Result<VerificationResult, RequestError> {
        self.ask(
            Request::TokenVerify {
                token,
                user,
                shared,
            },
            |response| match response {
                Response::TokenVerification(result) => Ok(result),
                other => Err(unexpected(other)),
            },
        )
        .await
    }

    /// Ends the daemon.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn shutdown(&self) -> Result<(), RequestError> {
        self.ask(Request::Shutdown, |response| match response {
            Response::Shutdown => Ok(()),
            other => Err(unexpected(other)),
        })
        .await
    }
}

fn accept<T>(
    response: Response,
    read: impl FnOnce(Response) -> Result<T, RequestError>,
) -> Result<T, RequestError> {
    match response {
        Response::PermissionDenied(request) => {
            Err(RequestError::PermissionDenied(Box::new(request)))
        }
        response => read(response),
    }
}

fn done(result: ContainerResult) -> Result<(), RequestError> {
    result.into_result().map(drop).map_err(RequestError::Server)
}

fn unexpected(response: Response) -> RequestError {
    RequestError::Unexpected(Box::new(response))
}
