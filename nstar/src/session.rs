//! A connection that a verb works on.

use std::{cell::Cell, io::IsTerminal};

use northstar_api::{Extension, Extensions, Request, Response};
use northstar_client::{Answer, Client, Notifications, Options, RequestError};

use crate::{
    cli::Cli,
    failure::Failure,
    output::{self, Reader},
    package::{Package, blame},
    progress::Progress,
};

/// How many notifications are kept while the terminal is slow.
const NOTIFICATIONS: usize = 10_000;

/// A connection that a verb works on.
pub struct Session {
    client: Client,
    json: bool,
    /// Nobody reads the answers any more.
    is_unheard: Cell<bool>,
}

impl Session {
    /// Connects, and subscribes to notifications if asked to.
    pub async fn open(cli: &Cli, subscribe: bool) -> Result<Session, Failure> {
        let mut options = Options::default();
        if let Some(timeout) = cli.timeout {
            options.timeout = timeout;
        }
        if subscribe {
            options.notifications = Some(NOTIFICATIONS);
        }
        options.tls = cli.tls.certificates();
        // Scripts get the answers of protocol 0.9.2; a person is told more.
        if !cli.json || cli.verb.wants_details() {
            options.extensions = Some(Extensions {
                details: true,
                ..Extensions::default()
            });
        }
        let client = Client::connect(&cli.url, options).await?;
        Ok(Session {
            client,
            json: cli.json,
            is_unheard: Cell::new(false),
        })
    }

    /// Whether the daemon tells more than protocol 0.9.2 has.
    pub fn has_details(&self) -> bool {
        self.client.has(Extension::Details)
    }

    /// Whether answers are printed as they come, and nothing else.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether whoever read the answers has gone.
    pub fn is_unheard(&self) -> bool {
        self.is_unheard.get()
    }

    /// What happens meanwhile.
    pub fn notifications(&self) -> Notifications {
        self.client.notifications()
    }

    /// Makes the request of a verb: its answer is what is printed with `--json`.
    pub async fn ask(&self, request: Request) -> Result<Response, Failure> {
        let answer = self.client.request(request).await?;
        self.accept(answer)
    }

    /// Makes a request of nstar's own.
    pub async fn look_up(&self, request: Request) -> Result<Response, Failure> {
        permitted(self.client.request(request).await?.response)
    }

    /// Installs a package and shows how far it is.
    pub async fn install(&self, repository: String, package: Package) -> Result<Response, Failure> {
        let Package { path, file, size } = package;
        let progress = (!self.json && std::io::stderr().is_terminal())
            .then(|| Progress::of_package(&path, size));
        let report = {
            let progress = progress.clone();
            move |sent| {
                if let Some(progress) = &progress {
                    progress.set(sent);
                }
            }
        };
        let answer = self
            .client
            .request_install(repository, size, file, report)
            .await;
        if let Some(progress) = progress {
            progress.finish();
        }
        self.accept(answer.map_err(|error| blame(&path, error))?)
    }

    fn accept(&self, answer: Answer) -> Result<Response, Failure> {
        if self.json {
            let reader = output::print_json(&answer.line)?;
            self.is_unheard.set(reader == Reader::Gone);
        }
        permitted(answer.response)
    }

    /// Prints a line, unless answers are printed as they come.
    pub fn tell(&self, line: &str) -> Result<(), Failure> {
        self.show(&output::harmless(line))
    }

    /// Prints what is [`harmless`](output::harmless) already, unless answers are printed as they come.
    pub fn show(&self, text: &str) -> Result<(), Failure> {
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
        Response::Error(error) => Err(RequestError::Server(error).into()),
        response => Ok(response),
    }
}

/// The failure for an answer that belongs to another request.
pub fn unexpected(response: Response) -> Failure {
    RequestError::Unexpected(Box::new(response)).into()
}
