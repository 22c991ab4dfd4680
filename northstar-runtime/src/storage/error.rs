//! Why an image could not be mounted.

use std::{fmt, io, path::PathBuf, time::Duration};

use northstar_manifest::Container;
use northstar_npk::verity::VerityError;
use thiserror::Error;

use super::{
    MissingFeature,
    cleanup::{CleanupError, List},
};

/// Why an image is not mounted. Everything done for it before was undone.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MountError {
    /// The kernel cannot protect the image the way the repository asks for.
    #[error("{container} must be mounted through dm-verity")]
    MissingFeature {
        /// The container.
        container: Container,
        /// What is missing and what to do.
        #[source]
        source: MissingFeature,
    },
    /// The image has to be protected, but the package carries no verified hash tree.
    #[error("{container} has no signed hash tree")]
    Unprotected {
        /// The container.
        container: Container,
    },
    /// The state of the package file could not be read.
    #[error("package file of {container}")]
    File {
        /// The container.
        container: Container,
        /// The kernel's answer to fstat(2).
        #[source]
        source: io::Error,
    },
    /// The package file was cut since it was loaded.
    #[error("package file of {container} has {actual} bytes, its image ends at {expected}")]
    Truncated {
        /// The container.
        container: Container,
        /// Where the image ends, in bytes.
        expected: u64,
        /// The size of the file in bytes.
        actual: u64,
    },
    /// The whole image was read and is not what was signed.
    #[error("the image of {container} is not the signed one")]
    Corrupt {
        /// The container.
        container: Container,
        /// What differs.
        #[source]
        source: VerityError,
    },
    /// The directory to mount on is not usable.
    #[error("mount point {}", path.display())]
    Target {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: TargetError,
    },
    /// The image could not be attached to a loop device.
    #[error("loop device for {container}")]
    Loop {
        /// The container.
        container: Container,
        /// Why.
        #[source]
        source: LoopError,
    },
    /// The verity device could not be set up.
    #[error("verity device for {container}")]
    Verity {
        /// The container.
        container: Container,
        /// Why.
        #[source]
        source: DmError,
    },
    /// The file system could not be mounted.
    #[error("squashfs of {container} on {}", path.display())]
    Squashfs {
        /// The container.
        container: Container,
        /// The directory to mount on.
        path: PathBuf,
        /// Why.
        #[source]
        source: SquashfsError,
    },
    /// The mount failed and something done for it could not be undone.
    #[error("{first}; and while undoing it: {}", List(cleanup))]
    Cleanup {
        /// Why the mount failed.
        #[source]
        first: Box<MountError>,
        /// What is left.
        cleanup: Vec<CleanupError>,
    },
    /// The task that did the work ended without a result: the daemon is on its way out.
    #[error("the mount of {container} was interrupted")]
    Interrupted {
        /// The container.
        container: Container,
    },
}

/// Why a directory is not mounted on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The path does not end in a name.
    #[error("not an absolute path with a name at its end")]
    Path,
    /// Another user could exchange what is in the directory.
    #[error("{} belongs to user {owner} with mode {mode:o}; it must belong to the daemon and be writable for nobody else", path.display())]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// Something is mounted there.
    #[error("something is mounted there already")]
    Occupied,
    /// A system call failed.
    #[error("{operation}")]
    Io {
        /// The system call.
        operation: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Why no loop device was attached.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoopError {
    /// All devices were taken by others, or device nodes did not appear, until the deadline.
    #[error("none became free within {timeout:?}")]
    Timeout {
        /// How long was tried.
        timeout: Duration,
        /// What the last attempt failed with.
        #[source]
        last: io::Error,
    },
    /// `/dev/loop-control` or a device refused for another reason than being taken.
    #[error("no access to loop devices")]
    Device(#[source] io::Error),
    /// The image cannot be the content of a block device.
    #[error("the image is {size} bytes at {offset}, not a whole number of sectors")]
    Unaligned {
        /// Where the image starts in the file, in bytes.
        offset: u64,
        /// Its length in bytes.
        size: u64,
    },
    /// The kernel does not attach the image.
    #[error("image not attached")]
    Configure(#[source] northstar_sys::Error),
    /// The state of the attached device or of its backing file could not be read.
    #[error("no status of {}", device.display())]
    ReadBack {
        /// The device.
        device: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// What the kernel says about the attached device is not what was asked for.
    #[error("{}: {field} is {actual}, not {expected}", device.display())]
    Status {
        /// The device.
        device: PathBuf,
        /// What differs.
        field: &'static str,
        /// What was asked for.
        expected: u64,
        /// What the kernel says.
        actual: u64,
    },
}

/// Why no verity device was set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DmError {
    /// The device mapper cannot be talked to.
    #[error("device mapper")]
    Control(#[source] devicemapper::DmError),
    /// A request of the `devicemapper` crate failed.
    #[error("{operation} {name}")]
    Request {
        /// What was asked for.
        operation: &'static str,
        /// The device.
        name: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A request of our own failed.
    #[error(transparent)]
    Ioctl(northstar_sys::Error),
    /// The mark of the device could not be made.
    #[error("/proc/self/stat")]
    Mark(#[source] io::Error),
    /// The device's node did not appear in time or could not be opened.
    #[error("device node {}", path.display())]
    Node {
        /// The node.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The table in the kernel is not the one that was loaded.
    #[error("{name} has the table {actual:?}, not {expected:?}")]
    Table {
        /// The device.
        name: String,
        /// What was loaded.
        expected: String,
        /// What the kernel says.
        actual: String,
    },
    /// The device is not read-only.
    #[error("{name} is writable")]
    Writable {
        /// The device.
        name: String,
    },
}

/// Why the file system was not mounted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SquashfsError {
    /// A system call of the mount interface failed.
    #[error("{operation}{}", Detail(log))]
    Io {
        /// The system call, and the parameter it was about.
        operation: &'static str,
        /// What the kernel wrote into the log of this mount.
        log: Vec<String>,
        /// The kernel's answer. `EIO` from a verity device means: the image was altered.
        #[source]
        source: io::Error,
    },
    /// The mount does not have the flags that were asked for.
    #[error("mounted without {missing}")]
    Flags {
        /// The flags that are missing.
        missing: String,
    },
    /// What is mounted is not the device that was prepared.
    #[error("mounted device {actual:#x} is not the prepared {expected:#x}")]
    Device {
        /// The device number of the prepared device.
        expected: u64,
        /// The device number that the mount shows.
        actual: u64,
    },
    /// The files of the mount do not have the SELinux label that was asked for.
    #[error("mounted with the label {actual:?} instead of {expected:?}")]
    Label {
        /// The label that was asked for.
        expected: String,
        /// The label of the root; empty if it has none.
        actual: String,
    },
    /// What is mounted is not a squashfs.
    #[error("mounted file system has the magic number {actual:#x}")]
    FileSystem {
        /// The magic number in statfs(2).
        actual: u64,
    },
}

struct Detail<'a>(&'a [String]);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(formatter, " ({})", self.0.join("; "))
        }
    }
}
