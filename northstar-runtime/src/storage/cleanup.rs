//! What could not be taken down. A failed clean-up never hides another failure: all of them are kept.

use std::{fmt, io, path::PathBuf, time::Duration};

use thiserror::Error;

use super::{DmError, MountedImage};

/// Something of a mount that could not be taken down.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CleanupError {
    /// The mount is still there.
    #[error("umount of {}: {source}", path.display())]
    Unmount {
        /// Where it is mounted.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Something else is mounted on the mount point by now; it was left alone.
    #[error("{} is not our mount any more", path.display())]
    Foreign {
        /// Where it was mounted.
        path: PathBuf,
    },
    /// The empty directory is still there.
    #[error("rmdir of {}: {source}", path.display())]
    RemoveTarget {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The verity device could not be removed.
    #[error("removal of the verity device {name}: {source}")]
    RemoveVerity {
        /// The device.
        name: String,
        /// Why.
        source: Box<DmError>,
    },
    /// The verity device is still in use; it goes with its last user.
    #[error("the verity device {name} is still in use after {after:?}")]
    VerityBusy {
        /// The device.
        name: String,
        /// How long was waited.
        after: Duration,
    },
    /// The loop device is still in use; it goes with its last user.
    #[error("the loop device {} is still in use after {after:?}", path.display())]
    LoopBusy {
        /// The device.
        path: PathBuf,
        /// How long was waited.
        after: Duration,
    },
}

/// Why a mounted image is not completely taken down.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UnmountError {
    /// Somebody uses the mount. Nothing was changed, and the image is handed back; dropping it detaches the mount.
    #[error("{} is in use", path.display())]
    Busy {
        /// Where it is mounted.
        path: PathBuf,
        /// The image, as mounted as before.
        image: Box<MountedImage>,
    },
    /// A step failed; the others were tried all the same.
    #[error("{first}{}", Also(others))]
    Incomplete {
        /// The first failure.
        first: CleanupError,
        /// What failed after it.
        others: Vec<CleanupError>,
    },
    /// The task that did the work ended without a result: the daemon is on its way out.
    #[error("the umount of {} was interrupted", path.display())]
    Interrupted {
        /// Where it was mounted.
        path: PathBuf,
    },
}

impl UnmountError {
    /// The error of a clean-up, if anything in it failed.
    pub(super) fn from_failures(failures: Vec<CleanupError>) -> Result<(), Self> {
        let mut failures = failures.into_iter();
        match failures.next() {
            None => Ok(()),
            Some(first) => Err(Self::Incomplete {
                first,
                others: failures.collect(),
            }),
        }
    }
}

/// Failures in one line.
pub(super) struct List<'a>(pub(super) &'a [CleanupError]);

impl fmt::Display for List<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(formatter, "{separator}{error}")?;
        }
        Ok(())
    }
}

struct Also<'a>(&'a [CleanupError]);

impl fmt::Display for Also<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(formatter, "; then: {}", List(self.0))
        }
    }
}
