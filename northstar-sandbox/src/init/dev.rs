//! Runs in init, after fork. A `/dev` of our own: a small tmpfs with the devices that hold no
//! data, pseudo terminals, shared memory and the usual links. Nothing of it comes from an image
//! or from the host's `/dev`.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid};
use rustix::io::Errno;

use super::mounts::inodes;
use super::user::{UserNamespace, outside};
use crate::mount::detached;
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

/// The group of terminals by convention; without a group file there is nobody to ask.
const TTY: u32 = 5;

/// Most bytes in `/dev` itself; its content is inodes.
const SIZE: u64 = 64 << 10;

/// Most bytes in `/dev/shm`.
const SHM_SIZE: u64 = 64 << 20;

/// Most pseudo terminals at a time. All containers together have what `kernel.pty.max` leaves them.
const TERMINALS: &str = "256";

/// Creates the tmpfs with everything that is in it, mounted nowhere yet.
pub(super) fn create(user: Option<&UserNamespace>) -> Result<OwnedFd, Errno> {
    let owner = outside(user, 0)?;
    let (id, size, inodes) = (
        owner.to_string(),
        SIZE.to_string(),
        inodes(SIZE).to_string(),
    );
    let options = [
        ("mode", "0755"),
        ("size", size.as_str()),
        ("nr_inodes", inodes.as_str()),
        ("uid", id.as_str()),
        ("gid", id.as_str()),
    ];
    let root = detached("tmpfs", &options)?;
    // The modes are meant as they are written here.
    let masked = rustix::process::umask(Mode::empty());
    let furnished = furnish(&root, owner, outside(user, TTY)?);
    rustix::process::umask(masked);
    furnished.map(|()| root)
}

/// The file systems below: name of the directory, mount, flags.
pub(super) fn mounts(
    user: Option<&UserNamespace>,
) -> Result<[(&'static str, OwnedFd, MountFlags); 2], Errno> {
    let (owner, tty) = (
        outside(user, 0)?.to_string(),
        outside(user, TTY)?.to_string(),
    );
    // An instance of its own, as every devpts is: a container sees and opens its own terminals
    // only.
    let pts = [
        ("ptmxmode", "0666"),
        ("mode", "0620"),
        ("gid", tty.as_str()),
        ("max", TERMINALS),
    ];
    let (size, inodes) = (SHM_SIZE.to_string(), inodes(SHM_SIZE).to_string());
    let shm = [
        ("mode", "1777"),
        ("size", size.as_str()),
        ("nr_inodes", inodes.as_str()),
        ("uid", owner.as_str()),
        ("gid", owner.as_str()),
    ];
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
            detached("devpts", &pts)?,
            MountFlags {
                nodev: false,
                ..closed
            },
        ),
        ("shm", detached("tmpfs", &shm)?, closed),
    ])
}

fn furnish(root: &OwnedFd, owner: u32, tty: u32) -> Result<(), Errno> {
    let root_user = Some(Uid::from_raw(owner));
    let root_group = Some(Gid::from_raw(owner));
    let give = |name: &str, group| {
        rustix::fs::chownat(root, name, root_user, group, AtFlags::SYMLINK_NOFOLLOW)
    };
    for (name, major, minor) in DEVICES {
        let device = rustix::fs::makedev(*major, *minor);
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(root, *name, FileType::CharacterDevice, mode, device)?;
        let found = rustix::fs::statat(root, *name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(found.st_mode);
        if (kind, found.st_rdev) != (FileType::CharacterDevice, device) {
            return Err(Errno::NODEV);
        }
        give(name, root_group)?;
    }
    for (name, destination) in LINKS {
        rustix::fs::symlinkat(*destination, root, *name)?;
        give(name, root_group)?;
    }
    for name in DIRECTORIES {
        rustix::fs::mkdirat(root, *name, Mode::from_raw_mode(0o755))?;
        give(name, root_group)?;
    }
    give("tty", Some(Gid::from_raw(tty)))
}
