//! What the server answers.

use serde::{Deserialize, Serialize};

use crate::{
    Container, ContainerStatistics, Error, InspectData, RepositoryDetails, RepositoryId, Request,
    Token, VerificationResult,
};

/// What the server answers, one for each request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// Who the client is: its container, or `extern:0.0.0` outside.
    Ident(Container),
    /// Manifest and state of a container.
    Inspect(InspectResult),
    /// The result of an install.
    Install(InstallResult),
    /// The result of a kill.
    Kill(ContainerResult),
    /// The installed containers.
    List(Vec<Container>),
    /// The result for each container, in the order of the request.
    Mount(Vec<ContainerResult>),
    /// The client must not make this request.
    PermissionDenied(Request),
    /// The repositories.
    Repositories(Vec<RepositoryId>),
    /// The daemon ends.
    Shutdown,
    /// The result of a start.
    Start(ContainerResult),
    /// A new token.
    Token(Token),
    /// What became of a verification.
    TokenVerification(VerificationResult),
    /// The result for each container, in the order of the request.
    Umount(Vec<ContainerResult>),
    /// The result of an uninstall.
    Uninstall(ContainerResult),
    /// Whether a request can be cancelled. Extension `jobs`.
    Cancel(CancelResult),
    /// What containers use, sorted by name and version. Extension `details`.
    Statistics(Vec<ContainerStatistics>),
    /// The repositories, in the order of `repositories`. Extension `details`.
    RepositoryDetails(Vec<RepositoryDetails>),
    /// The request was not carried out at all. Only to clients that asked for extensions.
    Error(Error),
}

impl Response {
    /// Whether everything that was asked for was done.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        match self {
            Response::Inspect(result) => matches!(result, InspectResult::Ok { .. }),
            Response::Install(result) => matches!(result, InstallResult::Ok { .. }),
            Response::Kill(result) | Response::Start(result) | Response::Uninstall(result) => {
                result.is_ok()
            }
            Response::Mount(results) | Response::Umount(results) => {
                results.iter().all(ContainerResult::is_ok)
            }
            Response::Cancel(result) => matches!(result, CancelResult::Ok { .. }),
            Response::PermissionDenied(_) | Response::Error(_) => false,
            Response::TokenVerification(result) => *result == VerificationResult::Ok,
            Response::Ident(_)
            | Response::List(_)
            | Response::Repositories(_)
            | Response::RepositoryDetails(_)
            | Response::Shutdown
            | Response::Statistics(_)
            | Response::Token(_) => true,
        }
    }
}

/// What became of a request on one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ContainerResult {
    /// Done.
    Ok {
        /// The container.
        container: Container,
    },
    /// Not done.
    Error {
        /// The container.
        container: Container,
        /// Why not.
        error: Error,
    },
}

impl ContainerResult {
    /// The answer about `container`.
    #[must_use]
    pub fn new(container: Container, result: Result<(), Error>) -> ContainerResult {
        match result {
            Ok(()) => ContainerResult::Ok { container },
            Err(error) => ContainerResult::Error { container, error },
        }
    }

    /// Whether it was done.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, ContainerResult::Ok { .. })
    }

    /// The container, or why it was not done.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub fn into_result(self) -> Result<Container, Error> {
        match self {
            ContainerResult::Ok { container } => Ok(container),
            ContainerResult::Error { error, .. } => Err(error),
        }
    }
}

/// What became of an inspection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum InspectResult {
    /// Manifest and state.
    Ok {
        /// The container.
        container: Container,
        /// Manifest and state.
        data: Box<InspectData>,
    },
    /// Not done.
    Error {
        /// The container.
        container: Container,
        /// Why not.
        error: Error,
    },
}

/// What became of an install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum InstallResult {
    /// Installed.
    Ok {
        /// The new container.
        container: Container,
    },
    /// Not installed.
    Error {
        /// Why not.
        error: Error,
    },
}

/// What became of a cancellation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CancelResult {
    /// The request knows. Its own response tells how far it got; it follows, or came just before.
    Ok {
        /// Id of the request.
        id: u64,
    },
    /// Not done.
    Error {
        /// Id of the request.
        id: u64,
        /// Why not.
        error: Error,
    },
}
