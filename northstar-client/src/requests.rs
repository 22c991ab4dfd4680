//! One method per request.

use std::{io, path::Path};

use northstar_api::{
    Container, ContainerResult, ContainerStatistics, Extension, InspectData, InspectResult, Name,
    RepositoryDetails, RepositoryId, Request, Response, Token, VerificationResult,
};
use rustix::fs::OFlags;
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncRead,
};

use crate::{
    Client, RequestError, StartOptions,
    answers::{accept, done, installed, mounted, started, umounted, unexpected, uninstalled},
};

impl Client {
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
        self.ask(Request::Mount { containers }, mounted).await
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
        self.ask(Request::Umount { containers }, umounted).await
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
        self.ask(options.request(container), started).await
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
        accept(answer.response, installed)
    }

    /// Installs the package in the file `path`. `progress` is called with the number of bytes sent so
    /// far.
    ///
    /// # Errors
    ///
    /// See [`Client::install`]; [`RequestError::Package`] if the file cannot be opened or is not a regular one.
    pub async fn install_file(
        &self,
        repository: impl Into<RepositoryId>,
        path: &Path,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> Result<Container, RequestError> {
        let (file, size) = open(path).await?;
        self.install(repository, size, file, progress).await
    }

    /// Removes a container from its repository, with its persistent data if `wipe`.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn uninstall(&self, container: Container, wipe: bool) -> Result<(), RequestError> {
        self.ask(Request::Uninstall { container, wipe }, uninstalled)
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

    /// What containers use, all at once; of all containers if `containers` is empty. Those that are not installed are left
    /// out. Needs the extension `details`.
    ///
    /// # Errors
    ///
    /// See [`RequestError`]; [`RequestError::NotGranted`] without the extension.
    pub async fn statistics(
        &self,
        containers: impl IntoIterator<Item = Container>,
    ) -> Result<Vec<ContainerStatistics>, RequestError> {
        let extension = Extension::Details;
        if !self.has(extension) {
            return Err(RequestError::NotGranted { extension });
        }
        let containers = containers.into_iter().collect();
        self.ask(
            Request::Statistics { containers },
            |response| match response {
                Response::Statistics(statistics) => Ok(statistics),
                other => Err(unexpected(other)),
            },
        )
        .await
    }

    /// What the repositories are. Needs the extension `details`.
    ///
    /// # Errors
    ///
    /// See [`RequestError`]; [`RequestError::NotGranted`] without the extension. A server that does not know the request
    /// closes the connection.
    pub async fn repository_details(&self) -> Result<Vec<RepositoryDetails>, RequestError> {
        let extension = Extension::Details;
        if !self.has(extension) {
            return Err(RequestError::NotGranted { extension });
        }
        self.ask(Request::RepositoryDetails, |response| match response {
            Response::RepositoryDetails(repositories) => Ok(repositories),
            other => Err(unexpected(other)),
        })
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

impl StartOptions {
    pub(crate) fn request(self, container: Container) -> Request {
        let StartOptions {
            init,
            arguments,
            environment,
        } = self;
        Request::Start {
            container,
            init,
            arguments,
            environment,
        }
    }
}

/// Opens a package and tells its size in bytes. What is no regular file is refused here: once the request is on its way, a file
/// that cannot be read costs the connection.
pub(crate) async fn open(path: &Path) -> Result<(File, u64), RequestError> {
    let error = |source| RequestError::Package {
        path: path.to_owned(),
        source,
    };
    // Opening a pipe would wait for its writer; regular files do not care.
    let nonblock = OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(nonblock);
    let file = options.open(path).await.map_err(error)?;
    let metadata = file.metadata().await.map_err(error)?;
    if !metadata.is_file() {
        return Err(error(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        )));
    }
    Ok((file, metadata.len()))
}
