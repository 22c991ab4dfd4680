//! What nstar can do, one file per verb.

pub mod completion;
mod exits;
mod ident;
pub mod inspect;
pub mod install;
pub mod kill;
mod list;
pub mod mount;
pub mod notifications;
mod repositories;
pub mod seccomp;
mod shutdown;
pub mod start;
pub mod stop;
pub mod token;
pub mod top;
pub mod umount;
pub mod uninstall;
pub mod verify_token;

use std::{
    process::{self, ExitCode},
    thread,
    time::Duration,
};

use northstar_api::{Container, ContainerResult, Error, Request, Response};
use northstar_client::ConnectError;
use tokio::time::{self, Instant};

use crate::{
    cli::{Cli, Verb},
    failure::{Code, Failure},
    output,
    refusal::Refusal,
    session::{Session, unexpected},
    verbs::seccomp::Seccomp,
};

/// Most containers that a request may name (docs/console.md).
const MOST: usize = 1024;
/// How long after its time the program may take to end by itself.
const GRACE: Duration = Duration::from_secs(1);

/// Does what the command line says, within the time it gives.
pub async fn run(mut cli: Cli) -> Result<ExitCode, Failure> {
    // It needs neither a daemon nor time.
    if let Verb::Completion(completion) = &cli.verb {
        return completion.run().map(succeeded);
    }
    let limit = Limit::new(cli.timeout);
    match &cli.verb {
        // Whoever has stopped the output of a live view may let it go on.
        Verb::Top(top) if top.is_live(cli.json) => {}
        Verb::Notifications(verb) if verb.is_endless() => limit.enforce(0)?,
        _ => limit.enforce(Code::Timeout as i32)?,
    }
    if let Verb::Seccomp(seccomp) = cli.verb {
        return limit.within(learn(seccomp)).await.map(succeeded);
    }
    // What is wrong with the packages is told without a daemon.
    if let Verb::Install(install) = &mut cli.verb {
        limit.within(install.prepare()).await?;
    }
    let subscribe = match &cli.verb {
        Verb::Notifications(_) | Verb::Stop(_) => true,
        Verb::Start(start) => start.waits(),
        _ => false,
    };
    let session = limit.within(Session::open(&cli, subscribe)).await;
    let session = session.map_err(|failure| match failure {
        // Nothing was asked for yet.
        Failure::TimedOut { timeout } => ConnectError::Timeout { timeout }.into(),
        other => other,
    })?;
    let (json, url) = (cli.json, cli.url.to_string());
    match cli.verb {
        // What goes on until it is interrupted is interrupted by the time too.
        Verb::Notifications(verb) if verb.is_endless() => {
            limit.until(verb.run(&session)).await.map(succeeded)
        }
        Verb::Top(top) if top.is_live(json) => {
            limit.until(top.run(&session, url)).await.map(succeeded)
        }
        verb => {
            let done = session.interruptible(dispatch(verb, &session, url));
            limit.within(done).await
        }
    }
}

/// Recordings may come from a pipe that nobody writes to.
async fn learn(seccomp: Seccomp) -> Result<(), Failure> {
    let learned = tokio::task::spawn_blocking(move || seccomp.run()).await;
    learned.map_err(|error| Failure::Runtime {
        source: error.into(),
    })?
}

fn succeeded((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

async fn dispatch(verb: Verb, session: &Session, url: String) -> Result<ExitCode, Failure> {
    let done = match verb {
        Verb::Start(start) => return start.run(session).await,
        Verb::Top(top) => top.run(session, url).await,
        Verb::List => list::run(session).await,
        Verb::Repositories => repositories::run(session).await,
        Verb::Inspect(inspect) => inspect.run(session).await,
        Verb::Mount(mount) => mount.run(session).await,
        Verb::Umount(umount) => umount.run(session).await,
        Verb::Stop(stop) => stop.run(session).await,
        Verb::Kill(kill) => kill.run(session).await,
        Verb::Install(install) => install.run(session).await,
        Verb::Uninstall(uninstall) => uninstall.run(session).await,
        Verb::Notifications(notifications) => notifications.run(session).await,
        Verb::Ident => ident::run(session).await,
        Verb::Token(token) => token.run(session).await,
        Verb::VerifyToken(token) => token.run(session).await,
        Verb::Shutdown => shutdown::run(session).await,
        Verb::Completion(completion) => completion.run(),
        Verb::Seccomp(seccomp) => seccomp.run(),
    };
    done.map(succeeded)
}

/// The time that everything together may take.
#[derive(Clone, Copy)]
struct Limit(Option<(Duration, Instant)>);

impl Limit {
    fn new(timeout: Option<Duration>) -> Limit {
        // A time beyond what the clock can tell is none.
        Limit(timeout.and_then(|timeout| {
            let end = Instant::now().checked_add(timeout)?;
            Some((timeout, end))
        }))
    }

    /// Ends the program a little after its time even if it is stuck, as in writing to a pipe that nobody reads: no timer
    /// of this thread would interrupt that.
    fn enforce(self, code: i32) -> Result<(), Failure> {
        let Some((timeout, _)) = self.0 else {
            return Ok(());
        };
        let end = move || {
            thread::sleep(timeout.saturating_add(GRACE));
            process::exit(code);
        };
        let watch = thread::Builder::new().name("limit".to_owned()).spawn(end);
        watch
            .map(drop)
            .map_err(|source| Failure::Runtime { source })
    }

    async fn within<T>(self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match self.0 {
            None => work.await,
            Some((timeout, end)) => time::timeout_at(end, work)
                .await
                .unwrap_or(Err(Failure::TimedOut { timeout })),
        }
    }

    async fn until(self, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
        match self.0 {
            None => work.await,
            Some((_, end)) => time::timeout_at(end, work).await.unwrap_or(Ok(())),
        }
    }
}

/// The container of a result, or why it was not done.
pub fn done(result: ContainerResult) -> Result<Container, Failure> {
    match result {
        ContainerResult::Ok { container } => Ok(container),
        ContainerResult::Error { container, error } => Err(refused(container, error)),
    }
}

/// The failure for a refusal about `target`.
fn refused(target: Container, error: Error) -> Failure {
    Failure::Refused(Box::new(Refusal { target, error }))
}

/// What did not work of several things that are done one after the other. If the verb ends early, by a lost connection or
/// the time, it is told all the same.
#[derive(Default)]
struct Failures(Vec<Failure>);

impl Drop for Failures {
    fn drop(&mut self) {
        self.0.iter().for_each(output::complain);
    }
}

impl Failures {
    /// Takes a refusal and lets the others go on. Anything else, as a lost connection, ends the verb.
    fn keep<T>(&mut self, result: Result<T, Failure>) -> Result<Option<T>, Failure> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(
                failure @ (Failure::Refused(_) | Failure::InUse { .. } | Failure::Package { .. }),
            ) if failure.code() != Code::Interrupted => {
                self.0.push(failure);
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// One failure is the failure of the verb; several are told one by one.
    fn end(mut self) -> Result<(), Failure> {
        if let [first, _, ..] = self.0.as_slice() {
            let code = first.code();
            let is_same = self.0.iter().all(|failure| failure.code() == code);
            return Err(Failure::Partial {
                code: if is_same { code } else { Code::Failed },
            });
        }
        self.0.pop().map_or(Ok(()), Err)
    }
}

/// Makes a request about containers, in parts if there are many, and tells what has become of each.
async fn work_on_all(
    session: &Session,
    containers: &[Container],
    request: fn(Vec<Container>) -> Request,
    what: &str,
) -> Result<(), Failure> {
    let mut failures = Failures::default();
    for part in containers.chunks(MOST) {
        let results = match session.work(request(part.to_vec())).await? {
            Response::Mount(results) | Response::Umount(results) => results,
            other => return Err(unexpected(other)),
        };
        for result in results {
            if let Some(container) = failures.keep(done(result))? {
                session.tell(&format!("{what} {container}"))?;
            }
        }
    }
    failures.end()
}
