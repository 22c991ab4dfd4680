//! `mount`

use clap::Args;
use clap_complete::ArgValueCompleter;
use northstar_api::Request;

use crate::{
    complete,
    failure::Failure,
    resolve::{Purpose, Target, resolve},
    session::Session,
    verbs::work_on_all,
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
        let request = |containers| Request::Mount { containers };
        work_on_all(session, &containers, request, "mounted").await
    }
}
