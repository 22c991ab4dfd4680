//! A connection that a verb works on.

use std::cell::Cell;

use northstar_api::{Extension, Extensions, InstallResult, Request, Response};
use northstar_client::{Answer, Client, Job, Notifications, Options, RequestError};

use crate::{
    cli::{Cli, Verb},
    failure::Failure,
    interrupt::Interrupts,
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
    interrupts: Interrupts,
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
        let asked = extensions(cli);
        options.extensions = (asked != Extensions::default()).then_some(asked);
        let client = Client::connect(&cli.url, options).await?;
        Ok(Session {
            client,
            json: cli.json,
            interrupts: Interrupts::default(),
            is_unheard: Cell::new(false),
        })
    }

    /// Whether the daemon tells more than protocol 0.9.2 has.
    pub fn has_details(&self) -> bool {
        self.client.has(Extension::Details)
    }

    /// Whether the daemon tells how far it is, and can be asked to stop.
    fn has_jobs(&self) -> bool {
        self.client.has(Extension::Jobs)
    }

    /// Does the work of a verb. An interrupt takes back what the daemon has not finished.
    pub async fn interruptible<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match self.has_jobs() {
            true => self.interrupts.around(work).await,
            // Then an interrupt ends nstar, as it does with every program.
            false => work.await,
        }
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

    /// Makes a request of a verb that takes its time: shows how far it is, and takes it back after an interrupt.
    pub async fn work(&self, request: Request) -> Result<Response, Failure> {
        if !self.has_jobs() {
            return self.ask(request).await;
        }
        self.interrupts.check()?;
        self.interrupts.allow();
        let progress = Progress::of_containers();
        let job = self.client.begin_request(request).await?;
        let told = |told: northstar_api::Progress| progress.set_of(told.done, told.total);
        let response = self.follow(job, told).await;
        progress.finish();
        Ok(response?)
    }

    async fn follow<T>(
        &self,
        mut job: Job<T>,
        mut told: impl FnMut(northstar_api::Progress),
    ) -> Result<T, RequestError> {
        loop {
            tokio::select! {
                biased;
                progress = job.progress() => match progress {
                    Some(progress) => told(progress),
                    None => break,
                },
                () = self.interrupts.revoked() => {
                    // It may be done already: the result tells.
                    let _ = job.cancel().await;
                    break;
                }
            }
        }
        let result = job.result().await;
        self.interrupts.forbid();
        result
    }

    /// Makes a request of nstar's own.
    pub async fn look_up(&self, request: Request) -> Result<Response, Failure> {
        permitted(self.client.request(request).await?.response)
    }

    /// Installs a package and shows how far it is.
    pub async fn install(&self, repository: String, package: Package) -> Result<Response, Failure> {
        self.interrupts.check()?;
        let progress = match self.json {
            true => Progress::hidden(),
            false => Progress::of_package(&package.path, package.size),
        };
        let path = package.path.clone();
        if self.has_jobs() {
            let response = self.install_job(repository, package, &progress).await;
            progress.finish();
            return response.map_err(|error| blame(&path, error));
        }
        let Package { file, size, .. } = package;
        let report = {
            let progress = progress.clone();
            move |sent| progress.set(sent)
        };
        let answer = self
            .client
            .request_install(repository, size, file, report)
            .await;
        progress.finish();
        self.accept(answer.map_err(|error| blame(&path, error))?)
    }

    /// The daemon tells how much it has. What is on its way is taken back by closing the connection, what has arrived by
    /// asking for it.
    async fn install_job(
        &self,
        repository: String,
        package: Package,
        progress: &Progress,
    ) -> Result<Response, RequestError> {
        let Package { file, size, .. } = package;
        let interrupts = self.interrupts.clone();
        let report = move |sent| {
            if sent == size {
                interrupts.allow();
            }
        };
        let job = self.client.begin_install(repository, size, file, report);
        let told = |told: northstar_api::Progress| progress.set(told.done);
        let result = match self.follow(job.await?, told).await {
            Ok(container) => InstallResult::Ok { container },
            Err(RequestError::Server(error)) => InstallResult::Error { error },
            Err(error) => return Err(error),
        };
        Ok(Response::Install(result))
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

/// What is asked for beyond protocol 0.9.2.
fn extensions(cli: &Cli) -> Extensions {
    // Scripts get the answers of protocol 0.9.2; a person is told more.
    let jobs = !cli.json && cli.verb.takes_time();
    Extensions {
        ids: jobs,
        jobs,
        details: !cli.json || cli.verb.wants_details(),
        filter: match &cli.verb {
            Verb::Notifications(verb) => verb.filter(),
            _ => None,
        },
        ..Extensions::default()
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
