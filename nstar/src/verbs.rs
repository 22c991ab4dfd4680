//! What nstar can do, one file per verb.

pub mod completion;
mod ident;
pub mod inspect;
pub mod install;
pub mod kill;
mod list;
pub mod mount;
pub mod notifications;
mod repositories;
mod shutdown;
pub mod start;
pub mod umount;
pub mod uninstall;

use northstar_api::{Container, ContainerResult, Error};

use crate::{
    cli::{Cli, Verb},
    failure::Failure,
    output,
    refusal::Refusal,
    session::Session,
};

/// Does what the command line says.
pub async fn run(cli: Cli) -> Result<(), Failure> {
    if let Verb::Completion(completion) = &cli.verb {
        return completion.run();
    }
    // What is wrong with the package is told without a daemon.
    if let Verb::Install(install) = &cli.verb {
        install.check()?;
    }
    let subscribe = matches!(cli.verb, Verb::Notifications(_));
    let session = Session::open(&cli, subscribe).await?;
    match cli.verb {
        Verb::List => list::run(&session).await,
        Verb::Repositories => repositories::run(&session).await,
        Verb::Inspect(inspect) => inspect.run(&session).await,
        Verb::Mount(mount) => mount.run(&session).await,
        Verb::Umount(umount) => umount.run(&session).await,
        Verb::Start(start) => start.run(&session).await,
        Verb::Kill(kill) => kill.run(&session).await,
        Verb::Install(install) => install.run(&session).await,
        Verb::Uninstall(uninstall) => uninstall.run(&session).await,
        Verb::Notifications(notifications) => notifications.run(&session).await,
        Verb::Ident => ident::run(&session).await,
        Verb::Shutdown => shutdown::run(&session).await,
        Verb::Completion(completion) => completion.run(),
    }
}

/// The container of a result, or why it was not done.
fn done(result: ContainerResult) -> Result<Container, Failure> {
    match result {
        ContainerResult::Ok { container } => Ok(container),
        ContainerResult::Error { container, error } => Err(refused(container, error)),
    }
}

/// The failure for a refusal about `target`.
fn refused(target: Container, error: Error) -> Failure {
    Failure::Refused(Box::new(Refusal { target, error }))
}

/// Tells each of several results. One failure is the failure of the verb; several are told one by one.
fn done_all(session: &Session, results: Vec<ContainerResult>, what: &str) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for result in results {
        match done(result) {
            Ok(container) => session.tell(&format!("{what} {container}"))?,
            Err(failure) => failures.push(failure),
        }
    }
    if failures.len() > 1 {
        failures
            .iter()
            .for_each(|failure| output::complain(failure));
        return Err(Failure::Partial);
    }
    failures.pop().map_or(Ok(()), Err)
}
