//! `mount`

use clap::Args;
use northstar_api::{Request, Response};

use crate::{
    failure::Failure,
    resolve::{Choice, Target, resolve},
    session::{Session, unexpected},
    verbs::done_all,
};

/// Mount containers without starting them.
#[derive(Debug, Args)]
pub struct Mount {
    /// The containers, as NAME or NAME:VERSION; NAME alone means the newest installed version.
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<Target>,
}

impl Mount {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut containers = Vec::new();
        for target in &self.containers {
            containers.push(resolve(session, target, Choice::Newest).await?);
        }
        match session.ask(Request::Mount { containers }).await? {
            Response::Mount(results) => done_all(session, results, "mounted"),
            other => Err(unexpected(other)),
        }
    }
}
