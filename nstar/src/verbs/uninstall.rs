//! `uninstall`

use std::io::{self, IsTerminal};

use clap::Args;
use clap_complete::ArgValueCompleter;
use northstar_api::{Container, Request, Response};

use crate::{
    complete,
    failure::Failure,
    output,
    resolve::{Purpose, Target, resolve},
    session::{Session, unexpected},
    verbs::{Failures, done},
};

/// Remove containers from their repositories.
#[derive(Debug, Args)]
#[command(after_help = "\
A pattern takes every version of every container that it matches. On a terminal nstar shows them and
asks; elsewhere, and with --yes, nothing asks again. Containers that run are refused and stay.

Examples:
  nstar uninstall hello-world:0.0.1
  nstar uninstall --wipe 'test-*'")]
pub struct Uninstall {
    /// Remove the persistent data of the containers too.
    #[arg(short, long)]
    wipe: bool,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    /// The containers, as NAME, NAME:VERSION or a pattern; NAME alone means the only installed version.
    #[arg(
        required = true,
        value_name = "CONTAINER",
        add = ArgValueCompleter::new(complete::containers)
    )]
    containers: Vec<Target>,
}

impl Uninstall {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let containers = resolve(session, &self.containers, Purpose::Uninstall).await?;
        let is_guess = |target: &Target| matches!(target, Target::Pattern(_));
        if !self.yes && self.containers.iter().any(is_guess) {
            confirm(&containers, self.wipe).await?;
        }
        let mut failures = Failures::default();
        for container in containers {
            failures.keep(uninstall(session, container, self.wipe).await)?;
        }
        failures.end()
    }
}

/// Asks who sits at a terminal whether these are the right ones. Who does not sit there cannot answer.
async fn confirm(containers: &[Container], wipe: bool) -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(());
    }
    let names: Vec<String> = containers.iter().map(Container::to_string).collect();
    let data = if wipe { " and their data" } else { "" };
    output::question(&format!("uninstall {}{data}? [y/N] ", names.join(", ")));
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await.map_err(io::Error::from);
    let answer = answer
        .flatten()
        .map_err(|source| Failure::Terminal { source })?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::NotConfirmed),
    }
}

async fn uninstall(session: &Session, container: Container, wipe: bool) -> Result<(), Failure> {
    let request = Request::Uninstall { container, wipe };
    match session.work(request).await? {
        Response::Uninstall(result) => {
            let container = match done(result) {
                // Whether it is mounted does not matter here.
                Err(Failure::Refused(refusal)) if refusal.is_about_itself() => {
                    let container = refusal.target;
                    return Err(Failure::InUse { container });
                }
                done => done?,
            };
            session.tell(&format!("uninstalled {container}"))
        }
        other => Err(unexpected(other)),
    }
}
