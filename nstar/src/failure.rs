//! What can go wrong, and the exit code it has.

use std::{
    borrow::Cow,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use northstar_api::{Container, Error};
use northstar_client::{ConnectError, Disconnected, RequestError, TlsError};
use thiserror::Error;

use crate::{
    hint,
    refusal::{self, Refusal},
    seccomp::SeccompFailure,
};

/// Why nstar did not do what it was told.
#[derive(Debug, Error)]
pub enum Failure {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The daemon did not take a package.
    #[error("{} was refused: {}", named(path), refusal::of_package(error))]
    Package { path: PathBuf, error: Error },
    #[error("{container} is running or in use")]
    InUse { container: Container },
    #[error("the connection was lost")]
    Lost,
    /// Several things were refused that have been told already, line by line.
    #[error("not everything was done")]
    Partial { code: Code },
    #[error("there is no container {name}")]
    NoContainer { name: String },
    #[error("no container that {wanted} is called `{pattern}`")]
    NoMatch {
        pattern: String,
        /// What the verb needs, as in "no container that ...".
        wanted: &'static str,
    },
    #[error("{name} means any of {candidates}: write one of them")]
    Ambiguous { name: String, candidates: String },
    #[error("there are several repositories and none is called `default`: name one of {names}")]
    NoRepository { names: String },
    #[error("the daemon has no repository")]
    NoRepositories,
    #[error("nothing was uninstalled")]
    NotConfirmed,
    #[error("it was not over within {}", humantime::format_duration(*timeout))]
    TimedOut { timeout: Duration },
    #[error("interrupted")]
    Interrupted,
    #[error("{container} goes on running, even after SIGKILL")]
    NotStopped { container: Container },
    #[error("how {container} ended was missed among too many notifications")]
    MissedExit { container: Container },
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("which repositories there are must not be asked here")]
    RepositoriesDenied { source: RequestError },
    #[error("{} is empty", named(path))]
    Empty { path: PathBuf },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot keep the standard input in a temporary file")]
    Spool { source: io::Error },
    #[error("cannot send {}", path.display())]
    Unsent {
        path: PathBuf,
        source: Arc<Disconnected>,
    },
    #[error("the token is {verdict}")]
    BadToken { verdict: &'static str },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot write the output")]
    Output { source: io::Error },
    #[error("cannot use the terminal")]
    Terminal { source: io::Error },
    #[error(transparent)]
    Seccomp(#[from] SeccompFailure),
    #[error("cannot set up the program")]
    Runtime { source: io::Error },
}

/// The file of a package, as an operator calls it.
fn named(path: &Path) -> Cow<'_, str> {
    match path.as_os_str() == "-" {
        true => "the standard input".into(),
        false => path.to_string_lossy(),
    }
}

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Failed = 1,
    Usage = 2,
    Connection = 3,
    Permission = 4,
    NoContainer = 5,
    Timeout = 6,
    Package = 7,
    State = 8,
    /// What a shell has for a program that SIGINT has ended.
    Interrupted = 130,
}

/// What the exit codes mean, for the help and the documentation.
#[cfg(test)]
pub const CODES: [(u8, &str); 10] = [
    (0, "done"),
    (Code::Failed as u8, "the request was refused or failed"),
    (
        Code::Usage as u8,
        "the command line is wrong, or a name means several things",
    ),
    (Code::Connection as u8, "no connection, or it was lost"),
    (Code::Permission as u8, "permission denied"),
    (Code::NoContainer as u8, "there is no such container"),
    (Code::Timeout as u8, "it took longer than --timeout"),
    (Code::Package as u8, "the package was refused"),
    (
        Code::State as u8,
        "running, not running, mounted, in use or installed already",
    ),
    (Code::Interrupted as u8, "interrupted"),
];

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code as u8)
    }
}

/// The exit code of a refusal.
fn code_of(error: &Error) -> Code {
    match error {
        Error::InvalidContainer { .. } => Code::NoContainer,
        Error::Cancelled {} => Code::Interrupted,
        Error::MountBusy { .. }
        | Error::UmountBusy { .. }
        | Error::StartContainerStarted { .. }
        | Error::StopContainerNotStarted { .. }
        | Error::DuplicateContainer { .. }
        | Error::InstallDuplicate { .. } => Code::State,
        _ => Code::Failed,
    }
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> Code {
        match self {
            Failure::Connect(ConnectError::Timeout { .. })
            | Failure::TimedOut { .. }
            | Failure::NotStopped { .. } => Code::Timeout,
            Failure::Connect(ConnectError::Certificates(TlsError::NoCertificates)) => Code::Usage,
            Failure::Connect(
                ConnectError::PermissionDenied | ConnectError::CertificateRefused(_),
            )
            | Failure::Request(RequestError::PermissionDenied(_))
            | Failure::RepositoriesDenied { .. } => Code::Permission,
            Failure::InUse { .. } => Code::State,
            Failure::Connect(_) | Failure::Lost | Failure::Request(RequestError::Closed(_)) => {
                Code::Connection
            }
            Failure::Request(RequestError::Server(error)) => code_of(error),
            Failure::Refused(refusal) => code_of(&refusal.error),
            Failure::Package { error, .. } => match error {
                Error::InvalidRepository { .. }
                | Error::InstallFailed { .. }
                | Error::TooManyInstalls { .. }
                | Error::ShuttingDown {} => Code::Failed,
                error @ Error::Cancelled {} => code_of(error),
                error if code_of(error) == Code::State => Code::State,
                _ => Code::Package,
            },
            Failure::NoContainer { .. } | Failure::NoMatch { .. } => Code::NoContainer,
            Failure::Ambiguous { .. } | Failure::NoRepository { .. } => Code::Usage,
            Failure::Partial { code } => *code,
            Failure::Interrupted => Code::Interrupted,
            Failure::Request(_)
            | Failure::MissedExit { .. }
            | Failure::NoRepositories
            | Failure::NotConfirmed
            | Failure::NotAFile { .. }
            | Failure::Empty { .. }
            | Failure::Read { .. }
            | Failure::Spool { .. }
            | Failure::Unsent { .. }
            | Failure::BadToken { .. }
            | Failure::Write { .. }
            | Failure::Output { .. }
            | Failure::Terminal { .. }
            | Failure::Seccomp(_)
            | Failure::Runtime { .. } => Code::Failed,
        }
    }

    /// What to try next.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Failure::Connect(error) => return hint::connect(error),
            Failure::Seccomp(failure) => return failure.hint().map(str::to_owned),
            Failure::Request(RequestError::PermissionDenied(request)) => {
                let permission = request.permission()?;
                return Some(format!(
                    "`permissions` of this console in the daemon's configuration lack \
                     `{permission}`; `nstar ident` tells who you are"
                ));
            }
            Failure::Request(RequestError::Server(error)) => return refusal::hint(None, error),
            Failure::Refused(refusal) => {
                return refusal::hint(Some(&refusal.target), &refusal.error);
            }
            Failure::Package { path, error } => return hint::package(path, error),
            Failure::InUse { container } => {
                return Some(format!("`nstar stop {container}` if it runs"));
            }
            Failure::RepositoriesDenied { .. } => {
                "--repository names one; `permissions` of this console in the daemon's \
                 configuration lack `repositories`"
            }
            Failure::Lost | Failure::Request(RequestError::Closed(_)) => {
                "the daemon may have ended, or have refused a client that is too fast or too \
                 slow: its log says which"
            }
            Failure::NoContainer { .. } | Failure::NoMatch { .. } => {
                "`nstar list` shows the installed containers and what they are doing"
            }
            Failure::TimedOut { .. } => "what was asked for may still happen: `nstar list` tells",
            Failure::NotStopped { .. } => {
                "a process that waits for the kernel cannot be killed: look for state D in `ps`"
            }
            Failure::NoRepositories => {
                "the table `repositories` of the daemon's configuration has them"
            }
            Failure::NotAFile { .. } => "`-` installs what comes from the standard input",
            Failure::Spool { .. } => "TMPDIR names the directory of the temporary file",
            Failure::BadToken { .. } => {
                "creator, target and shared value have to be those of the token, and the daemon \
                 must not have been started again since"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
