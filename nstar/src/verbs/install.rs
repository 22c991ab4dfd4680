//! `install`

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use northstar_api::{InstallResult, RepositoryId, Request, Response};

use crate::{
    complete,
    failure::Failure,
    package::Package,
    session::{Session, unexpected},
    verbs::Failures,
};

/// The repository that is taken if there are several and none is named.
const DEFAULT: &str = "default";

/// Install packages.
#[derive(Debug, Args)]
#[command(
    override_usage = "nstar install [OPTIONS] <NPK>...\n       nstar install [OPTIONS] <NPK> <REPOSITORY>",
    after_help = "\
Without a repository it is the only one, or the one called `default`. Of two words the second is a
repository if there is no such file.

Examples:
  nstar install hello.npk
  nstar install *.npk --repository default
  nstar install hello.npk default
  curl https://example.com/hello.npk | nstar install -"
)]
pub struct Install {
    /// The repository.
    #[arg(short, long, add = ArgValueCompleter::new(complete::repositories))]
    repository: Option<RepositoryId>,
    /// The packages: regular files that are not empty, or `-` for the standard input.
    #[arg(required = true, value_name = "NPK", value_hint = ValueHint::FilePath)]
    packages: Vec<PathBuf>,
}

impl Install {
    /// Whether the packages can be sent. What comes from the standard input is known later.
    pub async fn check(&self) -> Result<(), Failure> {
        for path in self.words().0 {
            if !is_stdin(path) {
                Package::open(path)?;
            }
        }
        Ok(())
    }

    /// The packages and the repository that are written.
    fn words(&self) -> (&[PathBuf], Option<RepositoryId>) {
        match (self.packages.as_slice(), &self.repository) {
            // The way of 0.9.2.
            ([package, repository], None) if !is_stdin(repository) && !repository.exists() => {
                let repository = repository.to_string_lossy().into_owned();
                (std::slice::from_ref(package), Some(repository))
            }
            (packages, repository) => (packages, repository.clone()),
        }
    }

    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let (packages, repository) = self.words();
        let repository = match repository {
            Some(repository) => repository,
            None => default_repository(session).await?,
        };
        let mut failures = Failures::default();
        for path in packages {
            failures.keep(install(session, path, &repository).await)?;
        }
        failures.end()
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

async fn install(session: &Session, path: &Path, repository: &str) -> Result<(), Failure> {
    let package = if is_stdin(path) {
        Package::from_stdin().await?
    } else {
        Package::open(path)?
    };
    let path = package.path.clone();
    match session.install(repository.to_owned(), package).await? {
        Response::Install(InstallResult::Ok { container }) => {
            session.tell(&format!("installed {container} in {repository}"))
        }
        Response::Install(InstallResult::Error { error }) => Err(Failure::Package { path, error }),
        other => Err(unexpected(other)),
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
