//! `stop`

use std::time::Duration;

use clap::Args;
use clap_complete::ArgValueCompleter;
use northstar_api::{Container, Error, Request, Response};
use tokio::time;

use crate::{
    cli, complete,
    failure::Failure,
    resolve::{Purpose, Target, resolve},
    session::{Session, unexpected},
    verbs::{
        Failures, done,
        exits::{Exits, words},
        kill::Signal,
    },
};

/// How long a container may take to end after SIGKILL. Only a process that waits for the kernel does.
const PATIENCE: Duration = Duration::from_secs(10);

/// End containers: ask them to, wait, and kill them if they do not.
#[derive(Debug, Args)]
#[command(after_help = "\
All containers get the signal at the same time. Who still runs when the grace is over gets SIGKILL.
Needs the permissions `kill` and `notifications`.

Examples:
  nstar stop hello-world
  nstar stop --grace 30s 'app*'
  nstar stop --signal INT --grace 0 hello-world")]
pub struct Stop {
    /// The signal that asks for the end.
    #[arg(short, long, default_value = "SIGTERM")]
    signal: Signal,
    /// How long to wait before SIGKILL.
    #[arg(short, long, default_value = "10s", value_name = "DURATION", value_parser = cli::duration)]
    grace: Duration,
    /// The containers, as NAME, NAME:VERSION or a pattern; NAME alone means the running version.
    #[arg(
        required = true,
        value_name = "CONTAINER",
        add = ArgValueCompleter::new(complete::containers)
    )]
    containers: Vec<Target>,
}

impl Stop {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut exits = Exits::new(session.notifications());
        let mut failures = Failures::default();
        for container in resolve(session, &self.containers, Purpose::Kill).await? {
            let sent = signal(session, container, self.signal).await;
            if let Some(container) = failures.keep(sent)? {
                exits.expect(container);
            }
        }
        if !ended(session, &mut exits, self.grace).await? {
            for container in exits.waiting() {
                let killed = signal(session, container, Signal::KILL).await;
                // It has ended just now, and the notification is on its way.
                if !matches!(&killed, Err(failure) if is_not_started(failure)) {
                    failures.keep(killed)?;
                }
            }
            if !ended(session, &mut exits, PATIENCE).await?
                && let Some(container) = exits.waiting().into_iter().next()
            {
                return Err(Failure::NotStopped { container });
            }
        }
        failures.end()
    }
}

/// Tells who ends within `patience`, and whether all have.
async fn ended(session: &Session, exits: &mut Exits, patience: Duration) -> Result<bool, Failure> {
    let all = async {
        while let Some((container, exit)) = exits.next().await? {
            session.tell(&format!("stopped {container} {}", words(&exit)))?;
        }
        Ok(true)
    };
    time::timeout(patience, all).await.unwrap_or(Ok(false))
}

async fn signal(
    session: &Session,
    container: Container,
    Signal(signal): Signal,
) -> Result<Container, Failure> {
    match session.ask(Request::Kill { container, signal }).await? {
        Response::Kill(result) => done(result),
        other => Err(unexpected(other)),
    }
}

fn is_not_started(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Refused(refusal) if matches!(refusal.error, Error::StopContainerNotStarted { .. })
    )
}
