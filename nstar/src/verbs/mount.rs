//! `mount`

use clap::Args;
use clap_complete::ArgValueCompleter;
use northstar_api::{Request, Response};

use crate::{
    complete,
    failure::Failure,
    resolve::{Purpose, Target, resolve},
    session::{Session, unexpected},
    verbs::done_all,
};

/// Mount containers without starting them.
#[derive(Debug, Args)]
pub struct Mount {
    /// The containers, as NAME, NAME:VERSION or a pattern; NAME alone means the newest installed version.
    #[arg(
        required = true,
        value_name = "CONTAINER",
        add = ArgValueCompleter::new(complete::containers)
    )]
    containers: Vec<Target>,
}

impl Mount {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let containers = resolve(session, &self.containers, Purpose::Mount).await?;
        match session.work(Request::Mount { containers }).await? {
            Response::Mount(results) => done_all(session, results, "mounted"),
            other => Err(unexpected(other)),
        }
    }
}
