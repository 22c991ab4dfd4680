//! Mounted images: what happens to a package between its repository and a container.
//!
//! [`mount`] turns the image of a package into a [`MountedImage`]: a loop device on the verified descriptor, a
//! dm-verity device on that where the package is signed, a squashfs on top. See [`image`] for the way, and
//! [`loop_device`], [`verity`], [`squashfs`] and [`target`] for its four guards.
//!
//! # What protects an image
//!
//! | [`Integrity`] | a change of the file before the mount | a change after the mount |
//! |---|---|---|
//! | `DmVerity` | a changed block reads as `EIO` | a changed block reads as `EIO` |
//! | `FullRead` | the mount is refused | **not noticed** |
//! | `None` (repository without key) | not noticed | not noticed |
//!
//! In no case is a file looked at that was put in the place of the package: the descriptor through which the package
//! was verified is the one that is attached. `FullRead` reads the image before each mount and protects up to the
//! mount and no further; it is for kernels without dm-verity on storage that nobody else can write. The packages of a
//! repository in memory are sealed and cannot change at all.
//!
//! Everything here may be used from many tasks at the same time.

mod backoff;
mod cleanup;
mod error;
mod image;
mod instance;
mod kernel;
mod loop_device;
mod node;
mod reap;
mod squashfs;
mod target;
mod verity;

pub use cleanup::{CleanupError, UnmountError};
pub use error::{DmError, LoopError, MountError, SquashfsError, TargetError};
pub use image::{ImageSource, MountRequest, MountedImage, mount};
pub use kernel::{Kernel, MissingFeature};
pub use reap::{ReapError, Reaped, reap_stale};

/// How the bytes of an image are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Integrity {
    /// Not at all: the repository has no key and is trusted as it is.
    None,
    /// The kernel checks each block when it is read.
    DmVerity,
    /// The whole image is read and checked before each mount, and not checked after it.
    FullRead,
}
