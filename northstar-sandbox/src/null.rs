//! Runs in forker and init, after fork. Standard streams that lead nowhere, and to nobody else.
//!
//! Whoever has the same null device can watch what others write there, and who has the same open file shares its flags and locks
//! with them. So forker and each init have one of their own, which is in no tree.

use std::os::fd::{AsFd, OwnedFd};

use northstar_sys::fd;
use northstar_sys::mount::{Attributes, Scope, set_attributes};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::mount::detached;

/// Where the null device is in its file system; the same name as elsewhere, because programs may ask what their
/// standard input is.
const NULL: (&str, &str) = ("dev", "null");

/// Makes a new null device the standard streams of this process.
pub(crate) fn standard_streams() -> Result<(), northstar_sys::Error> {
    let failed = |call| move |errno| northstar_sys::Error::new(call, "null device", errno);
    let filesystem = detached("tmpfs", &[("mode", "0700"), ("size", "4k")]);
    let filesystem = filesystem.map_err(failed("fsmount"))?;
    let null = device(&filesystem).map_err(failed("mknod"))?;
    let attributes = Attributes {
        read_only: true,
        nosuid: true,
        // It can be opened once more, through /proc/self/fd.
        nodev: false,
        noexec: true,
    };
    // Not even CAP_FOWNER can change its mode or owner then.
    set_attributes(filesystem.as_fd(), Scope::Mount, attributes)?;
    let duplicate = || rustix::io::fcntl_dupfd_cloexec(&null, 3).map_err(failed("fcntl"));
    fd::place(vec![
        (duplicate()?, 0),
        (duplicate()?, 1),
        (duplicate()?, 2),
    ])
}

/// Makes the device, which is not the host's.
fn device(filesystem: &OwnedFd) -> Result<OwnedFd, Errno> {
    let (directory, name) = NULL;
    rustix::fs::mkdirat(filesystem, directory, Mode::from_raw_mode(0o700))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(filesystem, directory, flags, Mode::empty())?;
    let (device, mode) = (rustix::fs::makedev(1, 3), Mode::from_raw_mode(0o600));
    rustix::fs::mknodat(&directory, name, FileType::CharacterDevice, mode, device)?;
    let null = rustix::fs::openat(&directory, name, OFlags::RDWR | OFlags::CLOEXEC, mode)?;
    // A program may open its standard streams once more, through /proc.
    rustix::fs::fchmod(&null, Mode::from_raw_mode(0o666))?;
    let found = rustix::fs::fstat(&null)?;
    match (
        FileType::from_raw_mode(found.st_mode),
        found.st_rdev == device,
    ) {
        (FileType::CharacterDevice, true) => Ok(null),
        _ => Err(Errno::NODEV),
    }
}
