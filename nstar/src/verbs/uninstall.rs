//! `uninstall`

use clap::Args;
use clap_complete::ArgValueCompleter;
use northstar_api::{Container, Request, Response};

use crate::{
    complete,
    failure::Failure,
    resolve::{Purpose, Target, resolve},
    session::{Session, unexpected},
    verbs::{Failures, done},
};

/// Remove containers from their repositories.
#[derive(Debug, Args)]
#[command(after_help = "\
A pattern takes every version of every container that it matches, and nothing asks again: look at
`nstar inspect PATTERN` or `nstar list` before. Containers that run are refused and stay.

Examples:
  nstar uninstall hello-world:0.0.1
  nstar uninstall --wipe 'test-*'")]
pub struct Uninstall {
    /// Remove the persistent data of the containers too.
    #[arg(short, long)]
    wipe: bool,
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
        let mut failures = Failures::default();
        for container in resolve(session, &self.containers, Purpose::Uninstall).await? {
            failures.keep(uninstall(session, container, self.wipe).await)?;
        }
        failures.end()
    }
}

async fn uninstall(session: &Session, container: Container, wipe: bool) -> Result<(), Failure> {
    let request = Request::Uninstall { container, wipe };
    match session.ask(request).await? {
        Response::Uninstall(result) => {
            let container = done(result)?;
            session.tell(&format!("uninstalled {container}"))
        }
        other => Err(unexpected(other)),
    }
}
