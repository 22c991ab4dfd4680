//! What can go wrong, and the exit code it has.

use std::{io, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use northstar_api as api;
use northstar_client::{ConnectError, Disconnected, RequestError};
use thiserror::Error;

use crate::refusal::Refusal;

/// Why nstar did not do what it was told.
#[derive(Debug, Error)]
pub enum Failure {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Refused(Box<Refusal>),
    #[error("the connection was lost")]
    Lost,
    /// Something was refused that has been told already, line by line.
    #[error("not everything was done")]
    Partial,
    #[error("there is no container {name}")]
    NoContainer { name: String },
    #[error("{name} means any of {candidates}: write one of them")]
    Ambiguous { name: String, candidates: String },
    #[error("there are several repositories and none is called `default`: name one of {names}")]
    NoRepository { names: String },
    #[error("no answer within {}", humantime::format_duration(*timeout))]
    NoAnswer { timeout: Duration },
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("{} is empty", path.display())]
    Empty { path: PathBuf },
    #[error("cannot send {}", path.display())]
    Unsent {
        path: PathBuf,
        source: Arc<Disconnected>,
    },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot write the output")]
    Output { source: io::Error },
    #[error("cannot set up the program")]
    Runtime { source: io::Error },
}

/// The exit codes, as the help lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Failed = 1,
    Usage = 2,
    Connection = 3,
    Permission = 4,
    NoContainer = 5,
    Timeout = 6,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code as u8)
    }
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> Code {
        match self {
            Failure::Connect(ConnectError::Timeout { .. }) | Failure::NoAnswer { .. } => {
                Code::Timeout
            }
            Failure::Connect(ConnectError::PermissionDenied)
            | Failure::Request(RequestError::PermissionDenied(_)) => Code::Permission,
            Failure::Connect(_) | Failure::Lost | Failure::Request(RequestError::Closed(_)) => {
                Code::Connection
            }
            Failure::Request(RequestError::Server(api::Error::InvalidContainer { .. }))
            | Failure::NoContainer { .. } => Code::NoContainer,
            Failure::Refused(refusal)
                if matches!(refusal.error, api::Error::InvalidContainer { .. }) =>
            {
                Code::NoContainer
            }
            Failure::Ambiguous { .. } | Failure::NoRepository { .. } => Code::Usage,
            Failure::Request(_)
            | Failure::Refused(_)
            | Failure::Partial
            | Failure::NotAFile { .. }
            | Failure::Empty { .. }
            | Failure::Unsent { .. }
            | Failure::Write { .. }
            | Failure::Output { .. }
            | Failure::Runtime { .. } => Code::Failed,
        }
    }
}
