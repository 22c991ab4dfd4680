//! `inspect`

use clap::Args;
use clap_complete::ArgValueCompleter;
use northstar_api::{Container, InspectResult, Request, Response};

use crate::{
    complete,
    failure::Failure,
    output,
    resolve::{Purpose, Target, resolve},
    session::{Session, unexpected},
    verbs::{Failures, refused},
};

/// Show the manifest and the state of containers.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The containers, as NAME, NAME:VERSION or a pattern; NAME alone means the running version, or the
    /// newest.
    #[arg(
        required = true,
        value_name = "CONTAINER",
        add = ArgValueCompleter::new(complete::containers)
    )]
    containers: Vec<Target>,
}

impl Inspect {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut failures = Failures::default();
        for container in resolve(session, &self.containers, Purpose::Inspect).await? {
            failures.keep(inspect(session, container).await)?;
        }
        failures.end()
    }
}

async fn inspect(session: &Session, container: Container) -> Result<(), Failure> {
    match session.ask(Request::Inspect { container }).await? {
        Response::Inspect(InspectResult::Ok { data, .. }) => {
            let text = serde_json::to_string_pretty(&data).map_err(|error| Failure::Output {
                source: error.into(),
            })?;
            session.show(&output::harmless_json(&text))
        }
        Response::Inspect(InspectResult::Error { container, error }) => {
            Err(refused(container, error))
        }
        other => Err(unexpected(other)),
    }
}
