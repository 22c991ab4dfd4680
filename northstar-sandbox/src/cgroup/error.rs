//! Errors of control group operations.

use super::Controller;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why an operation on a control group failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// A group path that is empty, leaves its parent or has an odd name in it.
    #[error("control group path {path:?}: {reason}")]
    Path {
        /// The path as given.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A limit needs a controller that this system does not offer.
    #[error("{limit} needs the {controller} controller, which is not available")]
    NoController {
        /// The missing controller.
        controller: Controller,
        /// The limit as the manifest names it.
        limit: &'static str,
    },
    /// A limit that contradicts another one or has no meaning.
    #[error("{limit} = {value}: {reason}")]
    Limit {
        /// The limit as the manifest names it.
        limit: &'static str,
        /// The value as given.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The kernel has no file for a value.
    #[error("{file:?} does not exist; the kernel cannot apply {value:?}")]
    Missing {
        /// The file.
        file: PathBuf,
        /// What was to be written.
        value: String,
    },
    /// A value was refused.
    #[error("failed to write {value:?} to {file:?}")]
    Write {
        /// The file.
        file: PathBuf,
        /// What was to be written.
        value: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("failed to read {file:?}")]
    Read {
        /// The file.
        file: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file holds something else than what was written to it.
    #[error("{file:?} holds {found:?} after {value:?} was written")]
    Mismatch {
        /// The file.
        file: PathBuf,
        /// What was written.
        value: String,
        /// What was read back.
        found: String,
    },
    /// A file of the kernel has an unknown format.
    #[error("{file:?} holds {content:?}, which is not understood")]
    Format {
        /// The file.
        file: PathBuf,
        /// What was read.
        content: String,
    },
    /// A group could not be created.
    #[error("failed to create control group {path:?}")]
    Create {
        /// Directory of the group.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A group of this name exists and has processes in it.
    #[error("control group {path:?} is in use by processes {pids:?}")]
    InUse {
        /// Directory of the group.
        path: PathBuf,
        /// Its processes.
        pids: Vec<i32>,
    },
    /// A group is in the way that is not a container's, or that is another
    /// container's or daemon's.
    #[error("control group {path:?} belongs to somebody else")]
    Foreign {
        /// Directory of the group.
        path: PathBuf,
    },
    /// Another daemon has the group, or one above or below it, as its own.
    #[error("control group {path:?} is used by another daemon")]
    Claimed {
        /// Directory of the group.
        path: PathBuf,
    },
    /// A group could not be locked (flock(2)).
    #[error("failed to lock control group {path:?}")]
    Lock {
        /// Directory of the group.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The programs that restrict devices on version 2 could not be set.
    #[error("failed to restrict the devices of {path:?}")]
    Devices {
        /// Directory of the group.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A watch for memory events could not be set up.
    #[error("failed to watch {file:?}")]
    Watch {
        /// The file watched.
        file: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A group could not be removed in time, because it is still populated.
    #[error("control group {path:?} still has processes {pids:?} after {waited:?}")]
    Busy {
        /// Directory of the group.
        path: PathBuf,
        /// Processes left in it or below it.
        pids: Vec<i32>,
        /// How long the removal was tried.
        waited: Duration,
    },
    /// A group could not be removed.
    #[error("failed to remove control group {path:?}")]
    Remove {
        /// Directory of the group.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}
