//! `uninstall`

use clap::Args;
use northstar_api::{Request, Response};

use crate::{
    failure::Failure,
    resolve::{Choice, Target, resolve},
    session::{Session, unexpected},
    verbs::done,
};

/// Remove a container from its repository.
#[derive(Debug, Args)]
pub struct Uninstall {
    /// Remove the container's persistent data too.
    #[arg(short, long)]
    wipe: bool,
    /// The container, as NAME or NAME:VERSION; NAME alone means the only installed version.
    container: Target,
}

impl Uninstall {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let container = resolve(session, &self.container, Choice::Only).await?;
        match session
            .ask(Request::Uninstall {
                container,
                wipe: self.wipe,
            })
            .await?
        {
            Response::Uninstall(result) => {
                let container = done(result)?;
                session.tell(&format!("uninstalled {container}"))
            }
            other => Err(unexpected(other)),
        }
    }
}
