//! Requests with the bytes of a package behind their line.

use northstar_api::{Error, InstallResult, Request, Response};
use northstar_runtime::config::RepositoryId;

use super::{End, Model};
use crate::targets::session::fits::Fits;
use crate::targets::session::stage;

/// Characters of a name that can be none in an answer.
const LONGEST_ECHO: usize = 256;

impl Model<'_, '_> {
    pub(super) fn install(
        &mut self,
        id: Option<u64>,
        is_allowed: bool,
        repository: String,
        size: u64,
    ) -> Option<End> {
        let details = self.terms.details;
        let denied = |repository| {
            let request = Request::Install { repository, size };
            Fits::is(Response::PermissionDenied(request))
        };
        // A name that can be none is repeated in short, where a package came with it.
        let short: String = repository.chars().take(LONGEST_ECHO).collect();
        let limit = self.play.options.max_npk_install_size;
        if size > limit {
            let answer = match is_allowed {
                true => self.detailed(Error::InstallTooLarge { size, limit }),
                false => denied(repository),
            };
            self.answer(id, answer, true);
            return Some(End::Cut);
        }
        let package = self.stream.raw(size);
        if !is_allowed {
            // Where the package has no end, nobody waits for the answer.
            package?;
            self.answer(id, denied(short), true);
            return None;
        }
        let repository_id = repository.parse::<RepositoryId>().ok();
        if repository_id.is_some() {
            self.ask(format!("install {repository} {size}"));
        }
        if repository == "default" {
            self.expected.packages.push(package);
        }
        if package.is_none() {
            self.answer(
                id,
                Fits::NotReceived {
                    repository,
                    details,
                },
                true,
            );
            return Some(End::Cut);
        }
        let complete = self.received(&repository, short);
        let fits = match self.play.is_patient() {
            true => complete,
            // The pause may be in the package, and too long.
            false => Fits::Late {
                complete: Box::new(complete),
                broken: Box::new(Fits::NotReceived {
                    repository,
                    details,
                }),
            },
        };
        self.answer(id, fits, true);
        None
    }

    /// The answer to a package that is there to its last byte. `short` is what is repeated of the repository's name.
    fn received(&self, repository: &str, short: String) -> Fits {
        match repository {
            "default" => Fits::is(Response::Install(InstallResult::Ok {
                container: stage::INSTALLED.parse().expect("a container"),
            })),
            "deaf" => failed(Error::InstallDuplicate {
                container: stage::DUPLICATE.parse().expect("a container"),
            }),
            "full" => self.detailed(Error::TooManyInstalls {
                limit: stage::MOST_INSTALLS as u32,
            }),
            _ => failed(Error::InvalidRepository { repository: short }),
        }
    }

    /// An error that 0.9.2 has no word for.
    fn detailed(&self, error: Error) -> Fits {
        match self.terms.details {
            true => failed(error),
            false => Fits::InstallUnexpected,
        }
    }
}

fn failed(error: Error) -> Fits {
    Fits::is(Response::Install(InstallResult::Error { error }))
}
