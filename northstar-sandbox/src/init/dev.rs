//! Runs in init, after fork. A `/dev` of our own: a small tmpfs with the devices that hold no
//! data, pseudo terminals, shared memory and the usual links. Nothing of it comes from an image
//! or from the host's `/dev`.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::mounts::detached;
use crate::plan::MountFlags;

/// Name, major and minor number of the character devices (Linux allocated devices,
/// `Documentation/admin-guide/devices.txt`).
const DEVICES: &[(&str, u32, u32)] = &[
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Name and destination of the links.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Directories that other file systems are mounted on.
const DIRECTORIES: &[&str] = &["pts", "shm"];

/// Most bytes in `/dev` itself; its content is inodes.
const SIZE: &str = "64k";

/// Most bytes in `/dev/shm`.
const SHM_SIZE: &str = "64m";

/// Creates the tmpfs with everything that is in it, mounted nowhere yet.
pub(super) fn create() -> Result<OwnedFd, Errno> {
    let options = [("mode", "0755"), ("size", SIZE)];
    let root = detached("tmpfs", &options, MountAttrFlags::empty())?;
    // The modes are meant as they are written here.
    let masked = rustix::process::umask(Mode::empty());
    let furnished = furnish(&root);
    rustix::process::umask(masked);
    furnished.map(|()| root)
}

/// The file systems below: name of the directory, mount, flags.
pub(super) fn mounts() -> Result<[(&'static str, OwnedFd, MountFlags); 2], Errno> {
    let none = MountAttrFlags::empty();
    // An instance of its own, as every devpts is: a container sees and opens its own terminals
    // only. Group 5 is tty by convention; without a passwd file there is none to ask.
    let pts = [("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
    let shm = [("mode", "1777"), ("size", SHM_SIZE)];
    let closed = MountFlags {
        read_only: false,
        nosuid: true,
        nodev: true,
        noexec: true,
        recursive: false,
    };
    Ok([
        // Terminals are devices.
        (
            "pts",
            detached("devpts", &pts, none)?,
            MountFlags {
                nodev: false,
                ..closed
            },
        ),
        ("shm", detached("tmpfs", &shm, none)?, closed),
    ])
}

fn furnish(root: &OwnedFd) -> Result<(), Errno> {
    for (name, major, minor) in DEVICES {
        let device = rustix::fs::makedev(*major, *minor);
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(root, *name, FileType::CharacterDevice, mode, device)?;
        let found = rustix::fs::statat(root, *name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(found.st_mode);
        if (kind, found.st_rdev) != (FileType::CharacterDevice, device) {
            return Err(Errno::NODEV);
        }
    }
    for (name, destination) in LINKS {
        rustix::fs::symlinkat(*destination, root, *name)?;
    }
    for name in DIRECTORIES {
        rustix::fs::mkdirat(root, *name, Mode::from_raw_mode(0o755))?;
    }
    rustix::fs::chownat(
        root,
        "tty",
        Some(Uid::ROOT),
        Some(Gid::from_raw(5)),
        AtFlags::SYMLINK_NOFOLLOW,
    )
}
