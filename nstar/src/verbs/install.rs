//! `install`

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use northstar_api::{InstallResult, RepositoryId, RepositoryKind, Request, Response};
use northstar_client::RequestError;

use crate::{
    complete,
    failure::Failure,
    package::Package,
    session::{Session, unexpected},
    verbs::Failures,
};

/// The repository that is taken if none is named and several would do.
const DEFAULT: &str = "default";

/// Install packages.
#[derive(Debug, Args)]
#[command(
    override_usage = "nstar install [OPTIONS] <NPK>...\n       nstar install [OPTIONS] <NPK> <REPOSITORY>",
    after_help = "\
Without a repository it is the only one that is not in memory, else the only one, else the one called
`default`. Of two words the second is a repository if there is no such file.

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
    /// What has come from the standard input.
    #[arg(skip)]
    spooled: Option<Package>,
}

impl Install {
    /// Whether the packages can be sent. The standard input is taken to its end: it may take longer than the daemon waits for
    /// a client that says nothing.
    pub async fn prepare(&mut self) -> Result<(), Failure> {
        let mut is_spooled = false;
        for path in self.words().0 {
            if is_stdin(path) {
                is_spooled = true;
            } else {
                Package::open(path)?;
            }
        }
        if is_spooled {
            self.spooled = Some(Package::from_stdin().await?);
        }
        Ok(())
    }

    /// The packages and the repository that are written.
    fn words(&self) -> (&[PathBuf], Option<RepositoryId>) {
        match (self.packages.as_slice(), &self.repository) {
            // The way of 0.9.2.
            ([package, repository], None) if !is_package(repository) => {
                let repository = repository.to_string_lossy().into_owned();
                (std::slice::from_ref(package), Some(repository))
            }
            (packages, repository) => (packages, repository.clone()),
        }
    }

    pub async fn run(mut self, session: &Session) -> Result<(), Failure> {
        let mut spooled = self.spooled.take();
        let (packages, repository) = self.words();
        let repository = match repository {
            Some(repository) => repository,
            None => default_repository(session)
                .await
                .map_err(|failure| match failure {
                    Failure::Request(source @ RequestError::PermissionDenied(_)) => {
                        Failure::RepositoriesDenied { source }
                    }
                    other => other,
                })?,
        };
        let mut failures = Failures::default();
        for path in packages {
            let package = match spooled.take_if(|_| is_stdin(path)) {
                Some(package) => package,
                // There is nothing left for the second.
                None if is_stdin(path) => return Err(Failure::Empty { path: path.clone() }),
                None => Package::open(path)?,
            };
            failures.keep(install(session, package, &repository).await)?;
        }
        failures.end()
    }
}

/// Whether a word can be a package: a directory that is called like a repository is none.
fn is_package(path: &Path) -> bool {
    is_stdin(path) || path.exists() && !path.is_dir()
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

async fn install(session: &Session, package: Package, repository: &str) -> Result<(), Failure> {
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
    if !session.has_details() {
        return match session.look_up(Request::Repositories).await? {
            Response::Repositories(repositories) => choose(&repositories, &[]),
            other => Err(unexpected(other)),
        };
    }
    let details = match session.look_up(Request::RepositoryDetails).await? {
        Response::RepositoryDetails(details) => details,
        other => return Err(unexpected(other)),
    };
    let names = |kinds: &[RepositoryKind]| {
        let wanted = details.iter().filter(|one| kinds.contains(&one.kind));
        wanted.map(|one| one.repository.clone()).collect::<Vec<_>>()
    };
    choose(
        &names(&[RepositoryKind::Fs, RepositoryKind::Mem]),
        &names(&[RepositoryKind::Fs]),
    )
}

/// The repository to take if none is named: the only one whose packages stay, or else the only one, or else the one with
/// the name for that.
fn choose(all: &[RepositoryId], on_disk: &[RepositoryId]) -> Result<RepositoryId, Failure> {
    match (on_disk, all) {
        ([only], _) | (_, [only]) => Ok(only.clone()),
        (_, []) => Err(Failure::NoRepositories),
        (_, all) if all.iter().any(|repository| repository == DEFAULT) => Ok(DEFAULT.to_owned()),
        (_, all) => Err(Failure::NoRepository {
            names: all.join(", "),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_one_on_disk_or_the_only_one_or_the_default() {
        let cases: [(&[&str], &[&str], &str); 6] = [
            (&["only"], &[], "only"),
            (&["only"], &["only"], "only"),
            (&["a", "default"], &[], "default"),
            (&["disk", "default"], &["disk"], "disk"),
            (&["disk", "more", "default"], &["disk", "more"], "default"),
            (&["a", "b"], &["b"], "b"),
        ];
        let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        for (all, on_disk, expected) in cases {
            assert_eq!(choose(&owned(all), &owned(on_disk)).unwrap(), expected);
        }
        for on_disk in [&[][..], &["a", "b"]] {
            let failure = choose(&owned(&["a", "b"]), &owned(on_disk));
            assert!(
                matches!(&failure, Err(Failure::NoRepository { names }) if names == "a, b"),
                "{failure:?}"
            );
        }
        assert!(matches!(choose(&[], &[]), Err(Failure::NoRepositories)));
    }
}
