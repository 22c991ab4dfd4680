//! A connection that a verb works on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use northstar_api::{Request, Response};
use northstar_client::{Answer, Client, Notifications, Options, RequestError};
use tokio::time;

use crate::{
    cli::Cli,
    failure::Failure,
    output,
    package::{Package, blame},
};

/// How many notifications are kept while the terminal is slow.
const NOTIFICATIONS: usize = 10_000;

/// A connection that a verb works on.
pub struct Session {
    client: Client,
    timeout: Option<Duration>,
    json: bool,
}

impl Session {
    /// Connects, and subscribes to notifications if asked to.
    pub async fn open(cli: &Cli, subscribe: bool) -> Result<Session, Failure> {
        let Options { timeout, .. } = Options::default();
        let options = Options {
            timeout: cli.timeout.unwrap_or(timeout),
            notifications: subscribe.then_some(NOTIFICATIONS),
        };
        let client = Client::connect(&cli.url, options).await?;
        Ok(Session {
            client,
            timeout: cli.timeout,
            json: cli.json,
        })
    }

    /// Whether answers are printed as they come, and nothing else.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// What happens meanwhile.
    pub fn notifications(&self) -> Notifications {
        self.client.notifications()
    }

    /// Makes the request of a verb: its answer is what is printed with `--json`.
    pub async fn ask(&self, request: Request) -> Result<Response, Failure> {
        let answer = self.within(self.client.request(request)).await?;
        self.accept(answer)
    }

    /// Makes a request of nstar's own.
    pub async fn look_up(&self, request: Request) -> Result<Response, Failure> {
        permitted(self.within(self.client.request(request)).await?.response)
    }

    /// Installs a package and prints how far it is.
    pub async fn install(&self, repository: String, package: Package) -> Result<Response, Failure> {
        let Package { path, file, size } = package;
        let sent = Arc::new(AtomicU64::new(0));
        let progress = {
            let sent = Arc::clone(&sent);
            move |bytes| {
                sent.store(bytes, Ordering::Relaxed);
                output::progress(bytes, size);
            }
        };
        let request = self
            .client
            .request_install(repository, size, file, progress);
        let mut request = std::pin::pin!(request);
        let Some(timeout) = self.timeout else {
            return self.accept(request.await.map_err(|error| blame(&path, error))?);
        };
        let mut before = 0;
        loop {
            if let Ok(answer) = time::timeout(timeout, &mut request).await {
                return self.accept(answer.map_err(|error| blame(&path, error))?);
            }
            let now = sent.load(Ordering::Relaxed);
            if now == before {
                return Err(Failure::NoAnswer { timeout });
            }
            before = now;
        }
    }

    fn accept(&self, answer: Answer) -> Result<Response, Failure> {
        if self.json {
            output::print(&answer.line)?;
        }
        permitted(answer.response)
    }

    async fn within<T>(
        &self,
        future: impl Future<Output = Result<T, RequestError>>,
    ) -> Result<T, Failure> {
        match self.timeout {
            None => Ok(future.await?),
            Some(timeout) => match time::timeout(timeout, future).await {
                Ok(result) => Ok(result?),
                Err(_) => Err(Failure::NoAnswer { timeout }),
            },
        }
    }

    /// Prints `text`, unless answers are printed as they come.
    pub fn tell(&self, text: &str) -> Result<(), Failure> {
        if !self.json {
            output::print(text)?;
        }
        Ok(())
    }
}

fn permitted(response: Response) -> Result<Response, Failure> {
    match response {
        Response::PermissionDenied(request) => {
            Err(RequestError::PermissionDenied(Box::new(request)).into())
        }
        response => Ok(response),
    }
}

/// The failure for an answer that belongs to another request.
pub fn unexpected(response: Response) -> Failure {
    RequestError::Unexpected(Box::new(response)).into()
}
