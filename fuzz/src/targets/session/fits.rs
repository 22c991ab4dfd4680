//! Whether an answer is one to its request.

use northstar_api::{
    CancelResult, Container, ContainerResult, Error, InspectResult, InstallResult, Response,
};

use super::stage;

/// What an answer has to be.
#[derive(Debug)]
pub enum Fits {
    /// One that may have broken off before its package was there.
    Late {
        /// The answer to the whole package.
        complete: Box<Fits>,
        /// The answer to a part of it.
        broken: Box<Fits>,
    },
    /// Exactly this.
    Is(Box<Response>),
    /// What 0.9.2 says for what it has no word for.
    Unexpected,
    /// The same about an install.
    InstallUnexpected,
    /// A package that has no end.
    NotReceived {
        repository: String,
        details: bool,
    },
    /// What is known about the container.
    Inspect(Container),
    /// Those of them, in this order.
    Statistics(Vec<Container>),
    /// All repositories, in their order.
    Details,
    /// Each of them, in this order.
    Mount(Vec<Container>),
    Umount(Vec<Container>),
    Token,
    /// About the request with this id; if nobody has used it, it cannot be cancelled.
    Cancel {
        id: u64,
        is_used: bool,
    },
}

/// What becomes of a request about one container.
pub fn known(container: Container) -> ContainerResult {
    let outcome = match stage::is_known(&container) {
        true => Ok(()),
        false => Err(Error::InvalidContainer {
            container: container.clone(),
        }),
    };
    ContainerResult::new(container, outcome)
}

impl Fits {
    /// Exactly this.
    pub fn is(response: Response) -> Fits {
        Fits::Is(Box::new(response))
    }

    /// Whether the answer does; `is_cancelled` where something may have been cancelled.
    pub fn fits(&self, response: &Response, is_cancelled: bool) -> bool {
        match (self, response) {
            (Fits::Late { complete, broken }, found) => [complete, broken]
                .iter()
                .any(|fits| fits.fits(found, is_cancelled)),
            (Fits::Is(expected), found) => **expected == *found,
            (Fits::Unexpected, Response::Error(error)) => is_unexpected(error),
            (
                Fits::InstallUnexpected | Fits::NotReceived { details: false, .. },
                Response::Install(InstallResult::Error { error }),
            ) => is_unexpected(error),
            (
                Fits::NotReceived { repository, .. },
                Response::Install(InstallResult::Error {
                    error:
                        Error::InstallFailed {
                            repository: found, ..
                        },
                }),
            ) => repository == found,
            (Fits::Inspect(expected), Response::Inspect(result)) => inspected(expected, result),
            (Fits::Statistics(expected), Response::Statistics(found)) => {
                let found = found.iter().map(|usage| &usage.container);
                found.eq(expected)
            }
            (Fits::Details, Response::RepositoryDetails(found)) => {
                let found = found.iter().map(|details| details.repository.as_str());
                found.eq(stage::REPOSITORIES)
            }
            (Fits::Mount(expected), Response::Mount(found))
            | (Fits::Umount(expected), Response::Umount(found)) => {
                let mut both = expected.iter().zip(found);
                expected.len() == found.len()
                    && both.all(|(container, found)| {
                        *found == known(container.clone())
                            || is_cancelled && is_cancellation(container, found)
                    })
            }
            (Fits::Token, Response::Token(_)) => true,
            (Fits::Cancel { id, is_used }, Response::Cancel(result)) => match result {
                CancelResult::Ok { id: found } => found == id && *is_used,
                CancelResult::Error { id: found, error } => {
                    found == id && *error == Error::UnknownId { id: *id }
                }
            },
            _ => false,
        }
    }
}

fn is_unexpected(error: &Error) -> bool {
    matches!(error, Error::Unexpected { .. })
}

fn inspected(container: &Container, result: &InspectResult) -> bool {
    match result {
        InspectResult::Ok {
            container: found,
            data,
        } => {
            let manifest = &data.manifest;
            stage::is_known(container)
                && found == container
                && manifest.name == *container.name()
                && manifest.version == *container.version()
        }
        InspectResult::Error {
            container: found,
            error,
        } => {
            let container = container.clone();
            !stage::is_known(&container)
                && *found == container
                && *error == Error::InvalidContainer { container }
        }
    }
}

/// The request was cancelled before it was this container's turn.
fn is_cancellation(container: &Container, found: &ContainerResult) -> bool {
    match found {
        ContainerResult::Error {
            container: about,
            error,
        } => {
            let in_old_words = matches!(error, Error::Unexpected { error } if error == "cancelled");
            about == container && (in_old_words || *error == Error::Cancelled {})
        }
        ContainerResult::Ok { .. } => false,
    }
}
