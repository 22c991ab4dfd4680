//! Requests that tell how far they are and can be cancelled: the extension `jobs`.

use std::{fmt, path::Path, sync::Arc};

use futures::future::BoxFuture;
use northstar_api::{
    CancelResult, Container, ContainerResult, Extension, Progress, RepositoryId, Request, Response,
};
use tokio::{
    io::AsyncRead,
    sync::{oneshot, watch},
};

use crate::{
    Answer, Client, RequestError, StartOptions,
    answers::{accept, installed, mounted, started, umounted, unexpected, uninstalled},
    client::Submitted,
    connection::Stage,
    install::Body,
    requests::open,
};

/// A request that has begun. Awaiting it gives its result; dropping it leaves the request to the server.
///
/// It has no limit of time of its own.
pub struct Job<T> {
    client: Client,
    id: Option<u64>,
    stage: watch::Receiver<Stage>,
    /// The progress that the caller knows of.
    told: Option<Progress>,
    answer: oneshot::Receiver<Answer>,
    read: fn(Response) -> Result<T, RequestError>,
}

impl<T> Job<T> {
    /// Waits for the server to tell how far it is. `None` when there will be no more to tell, and at once if the server
    /// has not granted the extension `jobs`. What was told while nobody waited is summed up in the last.
    pub async fn progress(&mut self) -> Option<Progress> {
        loop {
            self.stage.changed().await.ok()?;
            let now = self.stage.borrow_and_update().progress;
            if now != self.told {
                self.told = now;
                return now;
            }
        }
    }

    /// Asks the server to stop. What was done until then is in the result, which has to be waited for as ever.
    ///
    /// A package that is being sent has to be sent to its end first. Dropping the future takes nothing back.
    ///
    /// # Errors
    ///
    /// [`RequestError::NotGranted`] without the extension `jobs`; [`northstar_api::Error::UnknownId`] if the request is
    /// done.
    pub async fn cancel(&self) -> Result<(), RequestError> {
        let extension = Extension::Jobs;
        let id = self.id.filter(|_| self.client.has(extension));
        let id = id.ok_or(RequestError::NotGranted { extension })?;
        // The server does not know what it has not read. An error means that there is an answer already.
        let mut stage = self.stage.clone();
        let _ = stage.wait_for(|stage| stage.sent).await.map(drop);
        let answer = self.client.request(Request::Cancel { id }).await?;
        accept(answer.response, |response| match response {
            Response::Cancel(CancelResult::Ok { .. }) => Ok(()),
            Response::Cancel(CancelResult::Error { error, .. }) => Err(error.into()),
            other => Err(unexpected(other)),
        })
    }

    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn result(self) -> Result<T, RequestError> {
        let answer = self.client.wait(self.answer).await?;
        accept(answer.response, self.read)
    }
}

impl<T: Send + 'static> IntoFuture for Job<T> {
    type Output = Result<T, RequestError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.result())
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Begins to mount containers. See [`Client::mount`].
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`], as from all of its kind.
    pub async fn begin_mount(
        &self,
        containers: impl IntoIterator<Item = Container>,
    ) -> Result<Job<Vec<ContainerResult>>, RequestError> {
        let containers = containers.into_iter().collect();
        self.begin(Request::Mount { containers }, None, mounted)
            .await
    }

    /// Begins to unmount containers. See [`Client::umount`].
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`]
    pub async fn begin_umount(
        &self,
        containers: impl IntoIterator<Item = Container>,
    ) -> Result<Job<Vec<ContainerResult>>, RequestError> {
        let containers = containers.into_iter().collect();
        self.begin(Request::Umount { containers }, None, umounted)
            .await
    }

    /// Begins to start a container. See [`Client::start_with`].
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`]
    pub async fn begin_start(
        &self,
        container: Container,
        options: StartOptions,
    ) -> Result<Job<()>, RequestError> {
        self.begin(options.request(container), None, started).await
    }

    /// Begins to remove a container. See [`Client::uninstall`].
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`]
    pub async fn begin_uninstall(
        &self,
        container: Container,
        wipe: bool,
    ) -> Result<Job<()>, RequestError> {
        self.begin(Request::Uninstall { container, wipe }, None, uninstalled)
            .await
    }

    /// Begins to install a package. See [`Client::install`].
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`]
    pub async fn begin_install(
        &self,
        repository: impl Into<RepositoryId>,
        size: u64,
        reader: impl AsyncRead + Send + Unpin + 'static,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> Result<Job<Container>, RequestError> {
        let body = Body::new(reader, size, progress);
        let repository = repository.into();
        let request = Request::Install { repository, size };
        self.begin(request, Some(body), installed).await
    }

    /// Begins to install the package in the file `path`. See [`Client::install_file`].
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`]; [`RequestError::Package`] if the file cannot be opened or is not a regular one.
    pub async fn begin_install_file(
        &self,
        repository: impl Into<RepositoryId>,
        path: &Path,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> Result<Job<Container>, RequestError> {
        let (file, size) = open(path).await?;
        self.begin_install(repository, size, file, progress).await
    }

    /// Begins any request but an install. The result is the response as it came, unless the server refuses all of it.
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`]
    pub async fn begin_request(&self, request: Request) -> Result<Job<Response>, RequestError> {
        self.begin(request, None, Ok).await
    }

    async fn begin<T>(
        &self,
        request: Request,
        body: Option<Body>,
        read: fn(Response) -> Result<T, RequestError>,
    ) -> Result<Job<T>, RequestError> {
        let (stage_in, stage) = watch::channel(Stage::default());
        let submitted = self.submit(request, body, Some(Arc::new(stage_in)));
        let Submitted { id, answer } = submitted.await?;
        Ok(Job {
            client: self.clone(),
            id,
            stage,
            told: None,
            answer,
            read,
        })
    }
}
