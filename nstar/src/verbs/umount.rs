//! `umount`

use clap::Args;
use northstar_api::{Request, Response};

use crate::{
    failure::Failure,
    resolve::{Choice, Target, resolve},
    session::{Session, unexpected},
    verbs::done_all,
};

/// Unmount containers.
#[derive(Debug, Args)]
pub struct Umount {
    /// The containers, as NAME or NAME:VERSION; NAME alone means the mounted version, or the newest.
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<Target>,
}

impl Umount {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut containers = Vec::new();
        for target in &self.containers {
            containers.push(resolve(session, target, Choice::Mounted).await?);
        }
        match session.ask(Request::Umount { containers }).await? {
            Response::Umount(results) => done_all(session, results, "unmounted"),
            other => Err(unexpected(other)),
        }
    }
}
