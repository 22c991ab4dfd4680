//! `install`

use std::path::PathBuf;

use clap::Args;
use northstar_api::{InstallResult, RepositoryId, Request, Response};
use northstar_client::RequestError;

use crate::{
    failure::Failure,
    package::Package,
    session::{Session, unexpected},
};

/// The repository that is taken if there are several and none is named.
const DEFAULT: &str = "default";

/// Install a package.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nstar install hello.npk
  nstar install hello.npk default")]
pub struct Install {
    /// The package: a regular file that is not empty.
    #[arg(value_name = "NPK")]
    package: PathBuf,
    /// The repository; if omitted the only one, or the one called `default`.
    repository: Option<RepositoryId>,
}

impl Install {
    /// Whether the package can be sent.
    pub fn check(&self) -> Result<(), Failure> {
        Package::open(&self.package).map(drop)
    }

    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let repository = match self.repository {
            Some(repository) => repository,
            None => default_repository(session).await?,
        };
        let package = Package::open(&self.package)?;
        match session.install(repository.clone(), package).await? {
            Response::Install(InstallResult::Ok { container }) => {
                session.tell(&format!("installed {container} in {repository}"))
            }
            Response::Install(InstallResult::Error { error }) => {
                Err(RequestError::Server(error).into())
            }
            other => Err(unexpected(other)),
        }
    }
}

async fn default_repository(session: &Session) -> Result<RepositoryId, Failure> {
    let repositories = match session.look_up(Request::Repositories).await? {
        Response::Repositories(repositories) => repositories,
        other => return Err(unexpected(other)),
    };
    match repositories.as_slice() {
        [repository] => Ok(repository.clone()),
        several if several.iter().any(|repository| repository == DEFAULT) => Ok(DEFAULT.to_owned()),
        several => Err(Failure::NoRepository {
            names: several.join(", "),
        }),
    }
}
