//! `umount`

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

/// Unmount containers.
#[derive(Debug, Args)]
pub struct Umount {
    /// The containers, as NAME, NAME:VERSION or a pattern; NAME alone means the mounted version, or the
    /// newest.
    #[arg(
        required = true,
        value_name = "CONTAINER",
        add = ArgValueCompleter::new(complete::containers)
    )]
    containers: Vec<Target>,
}

impl Umount {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let containers = resolve(session, &self.containers, Purpose::Umount).await?;
        let request = |containers| Request::Umount { containers };
        work_on_all(session, &containers, request, "unmounted").await
    }
}
