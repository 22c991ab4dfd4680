//! A loop device on the image inside a package file, loop(4).
//!
//! One `LOOP_CONFIGURE` attaches exactly the bytes of the image, read-only, and tells the kernel to detach with the
//! last user. Nothing here ever detaches a device: closing the descriptor is enough, and a device that somebody else
//! attached meanwhile can so never be taken from them.
//!
//! `/dev/loop-control` names a free device without reserving it, so whoever configures first has it. The others get
//! `EBUSY` and ask again, until a deadline.

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use devicemapper::Device;
use loopdev::LoopControl;
use northstar_sys::loop_device::{self, Flags, Status};
use rustix::fs::fstat;

use super::{ImageSource, backoff::Backoff, cleanup::CleanupError, error::LoopError};

/// Major number of loop devices, `LOOP_MAJOR` in `include/uapi/linux/major.h`.
const MAJOR: u32 = 7;
/// Logical block size of an attached image where its place in the file allows it, in bytes: the size of a block of
/// dm-verity and of a page.
const BLOCK: u32 = 4096;
/// The smallest logical block size, in bytes.
const SECTOR: u32 = 512;
/// How long a device may stay attached after its last known user is gone.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// An attached loop device and the descriptor that keeps it attached.
#[derive(Debug)]
pub(super) struct LoopDevice {
    descriptor: File,
    attached: Attached,
}

/// What is attached to which loop device, as the kernel says.
#[derive(Debug)]
pub(super) struct Attached {
    path: PathBuf,
    status: Status,
}

impl LoopDevice {
    /// Attaches the image `source` to a free device.
    pub(super) fn attach(source: &ImageSource, timeout: Duration) -> Result<Self, LoopError> {
        let block_size = block_size(source).ok_or(LoopError::Unaligned {
            offset: source.image.offset,
            size: source.image.size,
        })?;
        let control = LoopControl::open().map_err(LoopError::Device)?;
        let mut backoff = Backoff::until(Instant::now() + timeout);
        loop {
            let last = match Self::try_attach(&control, source, block_size) {
                Ok((path, descriptor)) => return Self::read_back(path, descriptor, source),
                Err(error) if error.is_race() => error,
                Err(error) => return Err(error.into()),
            };
            if !backoff.wait() {
                return Err(LoopError::Timeout {
                    timeout,
                    last: last.into_io(),
                });
            }
        }
    }

    fn try_attach(
        control: &LoopControl,
        source: &ImageSource,
        block_size: u32,
    ) -> Result<(PathBuf, File), AttemptError> {
        // The crate opens the device and knows where its node is, but lends its descriptor to nobody: the device is
        // opened once more before the first descriptor goes.
        let device = control.next_free().map_err(AttemptError::Open)?;
        let path = device
            .path()
            .ok_or(io::ErrorKind::NotFound.into())
            .map_err(AttemptError::Open)?;
        let descriptor = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(AttemptError::Open)?;
        let flags = Flags {
            read_only: true,
            autoclear: true,
            // The page cache of the mount is enough; a second one under it is only memory.
            direct_io: true,
        };
        let image = &source.image;
        loop_device::configure(
            descriptor.as_fd(),
            source.file.as_fd(),
            image.offset,
            image.size,
            block_size,
            flags,
        )
        .map_err(AttemptError::Configure)?;
        Ok((path, descriptor))
    }

    /// Compares what the kernel says about the device with what was asked for.
    fn read_back(path: PathBuf, descriptor: File, source: &ImageSource) -> Result<Self, LoopError> {
        let failed = |source| LoopError::ReadBack {
            device: path.clone(),
            source,
        };
        let status =
            loop_device::status(descriptor.as_fd()).map_err(|error| failed(error.into()))?;
        let backing = fstat(&source.file).map_err(|error| failed(error.into()))?;
        let flag = |set: bool| u64::from(set);
        for (field, expected, actual) in [
            (
                "file system of the backing file",
                backing.st_dev as u64,
                status.device,
            ),
            (
                "inode of the backing file",
                backing.st_ino as u64,
                status.inode,
            ),
            ("offset", source.image.offset, status.offset),
            ("size", source.image.size, status.size_limit),
            ("read-only", 1, flag(status.flags.read_only)),
            ("autoclear", 1, flag(status.flags.autoclear)),
        ] {
            if expected != actual {
                return Err(LoopError::Status {
                    device: path,
                    field,
                    expected,
                    actual,
                });
            }
        }
        Ok(Self {
            descriptor,
            attached: Attached { path, status },
        })
    }

    /// The device's node.
    pub(super) fn path(&self) -> &Path {
        &self.attached.path
    }

    /// The device's number.
    pub(super) fn number(&self) -> Device {
        Device {
            major: MAJOR,
            minor: self.attached.status.number,
        }
    }

    /// The device's number as in `st_rdev`.
    pub(super) fn device_number(&self) -> u64 {
        rustix::fs::makedev(MAJOR, self.attached.status.number)
    }

    /// Leaves the device to its users: it goes with the last of them.
    pub(super) fn detach(self) -> Attached {
        drop(self.descriptor);
        self.attached
    }
}

impl Attached {
    /// Waits until the kernel has detached the image.
    pub(super) fn wait_until_free(self) -> Result<(), CleanupError> {
        let mut backoff = Backoff::until(Instant::now() + RELEASE_TIMEOUT);
        while self.is_attached() {
            if !backoff.wait() {
                return Err(CleanupError::LoopBusy {
                    path: self.path,
                    after: RELEASE_TIMEOUT,
                });
            }
        }
        Ok(())
    }

    /// Whether the device still has our image. The kernel detaches when the last user closes the device, so first
    /// what needs no opening of the device is asked.
    fn is_attached(&self) -> bool {
        let backing = format!("/sys/block/loop{}/loop/backing_file", self.status.number);
        if Path::new("/sys/block").exists() && !Path::new(&backing).exists() {
            return false;
        }
        let Ok(device) = File::open(&self.path) else {
            return false;
        };
        match loop_device::status(device.as_fd()) {
            Ok(now) => {
                (now.device, now.inode, now.offset, now.size_limit)
                    == (
                        self.status.device,
                        self.status.inode,
                        self.status.offset,
                        self.status.size_limit,
                    )
            }
            Err(_) => false,
        }
    }
}

/// Why one attempt failed.
#[derive(Debug)]
enum AttemptError {
    Open(io::Error),
    Configure(northstar_sys::Error),
}

impl AttemptError {
    /// Somebody else was faster, the device is on its way out, or its node on its way in.
    fn is_race(&self) -> bool {
        use nix::libc::{EAGAIN, EBUSY, EINTR, ENODEV, ENOENT, ENXIO};
        match self {
            Self::Open(error) => matches!(
                error.raw_os_error(),
                Some(ENOENT | ENXIO | ENODEV | EBUSY | EAGAIN | EINTR)
            ),
            Self::Configure(error) => matches!(error.errno(), EBUSY | ENXIO | EAGAIN | EINTR),
        }
    }

    fn into_io(self) -> io::Error {
        match self {
            Self::Open(error) => error,
            Self::Configure(error) => error.into(),
        }
    }
}

impl From<AttemptError> for LoopError {
    fn from(error: AttemptError) -> Self {
        match error {
            AttemptError::Open(error) => Self::Device(error),
            AttemptError::Configure(error) => Self::Configure(error),
        }
    }
}

/// The largest block size that offset and size are multiples of; `None`: not even of a sector.
fn block_size(source: &ImageSource) -> Option<u32> {
    let fits = |size: u32| {
        source.image.size > 0
            && source.image.size.is_multiple_of(u64::from(size))
            && source.image.offset.is_multiple_of(u64::from(size))
    };
    // A logical block larger than a page is not possible on every kernel; no page is smaller than 4096 bytes.
    [BLOCK, SECTOR].into_iter().find(|size| fits(*size))
}
