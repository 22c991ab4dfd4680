//! `inspect`

use clap::Args;
use northstar_api::{InspectResult, Request, Response};

use crate::{
    failure::Failure,
    resolve::{Choice, Target, resolve},
    session::{Session, unexpected},
    verbs::refused,
};

/// Show the manifest and the state of a container.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The container, as NAME or NAME:VERSION; NAME alone means the running version, or the newest.
    container: Target,
}

impl Inspect {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let container = resolve(session, &self.container, Choice::Running).await?;
        match session.ask(Request::Inspect { container }).await? {
            Response::Inspect(InspectResult::Ok { data, .. }) => {
                let text =
                    serde_json::to_string_pretty(&data).map_err(|error| Failure::Output {
                        source: error.into(),
                    })?;
                session.tell(&text)
            }
            Response::Inspect(InspectResult::Error { container, error }) => {
                Err(refused(container, error))
            }
            other => Err(unexpected(other)),
        }
    }
}
