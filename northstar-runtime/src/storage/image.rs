//! From a package file to a mounted image and back: loop device, verity device, squashfs, one guard each.
//!
//! ```text
//! file --LOOP_CONFIGURE--> loop --table--> verity (keyed repositories) --fsmount--> squashfs --> run_dir/NAME:VERSION
//! ```
//!
//! Each layer holds the one below it in the kernel: the mount holds its device, the verity device holds the loop
//! device, and both devices are told to go with their last user. So the guards only have to wait on the way back,
//! and a daemon that is killed at any point of the way leaves nothing but what another process still uses.

use std::{
    fs::{File, OpenOptions},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use northstar_manifest::Container;
use northstar_npk::{
    Image,
    verity::{Verity, VerityError, verify_image},
};
use rustix::fs::OFlags;

use super::{
    Integrity, Kernel, MountError, UnmountError,
    loop_device::{Attached, LoopDevice},
    squashfs::Squashfs,
    target::Target,
    verity::VerityDevice,
};

/// The image of a package and the descriptor it was checked through.
#[derive(Clone, Debug)]
pub struct ImageSource {
    /// The package file, opened read-only. It is this descriptor that is attached, so that a file put in the place
    /// of the package is never looked at.
    pub file: Arc<File>,
    /// Where in the file the image is and what its verified signature says about it.
    pub image: Image,
}

/// What to mount, and where.
#[derive(Clone, Debug)]
pub struct MountRequest {
    /// The container, for errors and device names.
    pub container: Container,
    /// The image.
    pub source: ImageSource,
    /// How the image is protected.
    pub integrity: Integrity,
    /// The directory to mount on, absolute. It is made if it is missing; its parent belongs to the daemon.
    pub target: PathBuf,
    /// The SELinux label of all files of the image, if the manifest asks for one.
    pub selinux_context: Option<String>,
    /// How long to try to get a loop device.
    pub loop_timeout: Duration,
}

/// A mounted image. Dropping it detaches the mount from the tree without waiting for its users.
#[derive(Debug)]
pub struct MountedImage {
    path: PathBuf,
    // Dropped in the order in which they are taken down.
    mount: Squashfs,
    verity: Option<VerityDevice>,
    loop_device: Attached,
}

/// Mounts an image. The work is done on a blocking thread; if the future is dropped, the image is unmounted again
/// as soon as it is mounted.
///
/// # Errors
///
/// See [`MountError`]; whatever was done until then is undone.
pub async fn mount(kernel: &Kernel, request: MountRequest) -> Result<MountedImage, MountError> {
    let kernel = kernel.clone();
    let container = request.container.clone();
    tokio::task::spawn_blocking(move || mount_blocking(&kernel, request))
        .await
        .unwrap_or(Err(MountError::Interrupted { container }))
}

fn mount_blocking(kernel: &Kernel, request: MountRequest) -> Result<MountedImage, MountError> {
    // 1. Nothing of the image reaches the kernel before it is known how it is protected.
    let protection = protection(kernel, &request)?;
    check_size(&request)?;

    // 2. The directory.
    let in_target = |source| MountError::Target {
        path: request.target.clone(),
        source,
    };
    let (target, directory) = Target::create(&request.target).map_err(in_target)?;

    // 3. The layers. What fails takes down what is there; what cannot be taken down is reported beside it.
    let deadline = Instant::now() + request.loop_timeout;
    let loop_device = match LoopDevice::attach(&request.source, request.loop_timeout) {
        Ok(device) => device,
        Err(source) => {
            let container = request.container.clone();
            let error = MountError::Loop { container, source };
            return Err(undone(error, Some(target), None, None));
        }
    };
    let verity = match protect(protection, &loop_device, &request, deadline) {
        Ok(verity) => verity,
        Err(error) => {
            let loop_device = Some(loop_device.detach());
            return Err(undone(error, Some(target), None, loop_device));
        }
    };
    let (source, number) = match &verity {
        Some(device) => (device.path(), device.number()),
        None => (loop_device.path().to_owned(), loop_device.device_number()),
    };
    let context = request.selinux_context.as_deref();
    let mounted = Squashfs::mount(&source, number, context, target, directory.as_fd());
    // The directory below the mount must not be kept busy.
    drop(directory);
    match mounted {
        Ok(mount) => Ok(MountedImage::new(
            request.target,
            mount,
            verity,
            loop_device,
        )),
        Err(source) => {
            let error = MountError::Squashfs {
                container: request.container.clone(),
                path: request.target.clone(),
                source,
            };
            Err(undone(error, None, verity, Some(loop_device.detach())))
        }
    }
}

/// Sets up the protection above the loop device: a verity device, or a check of the whole image, or nothing.
fn protect(
    protection: Protection<'_>,
    loop_device: &LoopDevice,
    request: &MountRequest,
    deadline: Instant,
) -> Result<Option<VerityDevice>, MountError> {
    let container = || request.container.clone();
    match protection {
        Protection::Kernel(tree) => {
            let below = loop_device.number();
            VerityDevice::create(below, tree, &request.container, deadline)
                .map(Some)
                .map_err(|source| MountError::Verity {
                    container: container(),
                    source,
                })
        }
        Protection::Read => read_through(loop_device, &request.source.image)
            .map(|()| None)
            .map_err(|source| MountError::Corrupt {
                container: container(),
                source,
            }),
        Protection::Trust => Ok(None),
    }
}

/// Checks the whole image as the mount is going to read it.
///
/// The loop device reads past the page cache of the file where it can. The file itself may be cached, and what is
/// cached may be older than what is stored, so reading the file would say nothing about what the mount gets. A page
/// cache of the device would be a third place; `O_DIRECT` keeps it out.
fn read_through(loop_device: &LoopDevice, image: &Image) -> Result<(), VerityError> {
    let device = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::DIRECT.bits().cast_signed())
        .open(loop_device.path())
        .map_err(|source| VerityError::Read { block: 0, source })?;
    let image = Image {
        offset: 0,
        ..image.clone()
    };
    verify_image(&device, &image)
}

/// How an image will be protected, with what that needs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Protection<'a> {
    /// The repository is trusted as it is.
    Trust,
    /// The image is read and checked first.
    Read,
    /// The kernel checks each block against this tree.
    Kernel(&'a Verity),
}

fn protection<'a>(
    kernel: &Kernel,
    request: &'a MountRequest,
) -> Result<Protection<'a>, MountError> {
    let container = || request.container.clone();
    let tree = request.source.image.verity.as_ref();
    match (request.integrity, tree) {
        (Integrity::None, _) => Ok(Protection::Trust),
        (Integrity::DmVerity | Integrity::FullRead, None) => Err(MountError::Unprotected {
            container: container(),
        }),
        (Integrity::FullRead, Some(_)) => Ok(Protection::Read),
        (Integrity::DmVerity, Some(tree)) => match &kernel.device_mapper {
            Ok(()) => Ok(Protection::Kernel(tree)),
            Err(source) => Err(MountError::MissingFeature {
                container: container(),
                source: source.clone(),
            }),
        },
    }
}

/// The file may have been cut since the package was opened. Longer it may be: what follows is not looked at.
fn check_size(request: &MountRequest) -> Result<(), MountError> {
    let container = || request.container.clone();
    let image = &request.source.image;
    let expected = image.offset.saturating_add(image.size);
    let metadata = request.source.file.metadata();
    let actual = metadata
        .map_err(|source| MountError::File {
            container: container(),
            source,
        })?
        .len();
    if actual < expected {
        return Err(MountError::Truncated {
            container: container(),
            expected,
            actual,
        });
    }
    Ok(())
}

/// Takes down what a failed mount has left, and reports what cannot be taken down beside the failure.
fn undone(
    error: MountError,
    target: Option<Target>,
    verity: Option<VerityDevice>,
    loop_device: Option<Attached>,
) -> MountError {
    let mut cleanup = Vec::new();
    cleanup.extend(verity.and_then(|device| device.release().err()));
    cleanup.extend(loop_device.and_then(|device| device.wait_until_free().err()));
    cleanup.extend(target.and_then(|target| target.remove().err()));
    if cleanup.is_empty() {
        error
    } else {
        MountError::Cleanup {
            first: Box::new(error),
            cleanup,
        }
    }
}

impl MountedImage {
    fn new(
        path: PathBuf,
        mount: Squashfs,
        mut verity: Option<VerityDevice>,
        loop_device: LoopDevice,
    ) -> Self {
        // The mount holds its device by now, and so on down.
        if let Some(device) = &mut verity {
            device.hand_over();
        }
        Self {
            path,
            mount,
            verity,
            loop_device: loop_device.detach(),
        }
    }

    /// Where the image is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root of the mount, as an `O_PATH` descriptor: open_tree(2) clones the mount from it.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.mount.root()
    }

    /// Unmounts the image and waits until its devices are gone. The work is done on a blocking thread and goes on if
    /// the future is dropped.
    ///
    /// # Errors
    ///
    /// [`UnmountError::Busy`] hands the image back unchanged. Otherwise every step was tried.
    pub async fn release(self) -> Result<(), UnmountError> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || self.release_blocking())
            .await
            .unwrap_or(Err(UnmountError::Interrupted { path }))
    }

    fn release_blocking(self) -> Result<(), UnmountError> {
        let Self {
            path,
            mount,
            verity,
            loop_device,
        } = self;
        let mut failures = Vec::new();
        if let Err(mount) = mount.unmount(&mut failures) {
            let image = Box::new(Self {
                path: path.clone(),
                mount,
                verity,
                loop_device,
            });
            return Err(UnmountError::Busy { path, image });
        }
        failures.extend(verity.and_then(|device| device.release().err()));
        failures.extend(loop_device.wait_until_free().err());
        UnmountError::from_failures(failures)
    }
}
