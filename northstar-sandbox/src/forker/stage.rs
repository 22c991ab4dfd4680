//! The forker's own mount namespace: a small read-only tmpfs and nothing else.
//!
//! Every init starts from a copy of it. So no mount of the host can be left over in a container,
//! no init keeps an image of another container busy, and making an init costs the same however
//! many mounts the daemon has. What a container needs arrives as detached mounts.

use std::os::fd::{AsFd, OwnedFd};

use northstar_sys::mount::{Attributes, Scope, set_attributes, set_private};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, UnmountFlags};

use crate::mount::detached;

/// Directory on which init attaches the root of its container.
pub(crate) const CONTAINER: &str = "/container";
/// Empty directory that hides directories.
pub(crate) const EMPTY_DIRECTORY: &str = "/empty-directory";
/// Empty file that hides files.
pub(crate) const EMPTY_FILE: &str = "/empty-file";

/// A call that failed, and its errno(3).
pub(super) type Failure = (String, i32);

/// Leaves the daemon's mount namespace for a new one with an empty root.
pub(super) fn enter() -> Result<(), Failure> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).map_err(failed("unshare mounts"))?;
    // Before anything is mounted: what happens here must not reach the daemon's namespace.
    let root = open_directory("/").map_err(failed("open /"))?;
    set_private(root.as_fd(), Scope::Tree).map_err(|e| (e.to_string(), e.errno()))?;

    let stage = detached("tmpfs", &[("mode", "0700"), ("size", "64k")]);
    let stage = stage.map_err(failed("create the stage"))?;
    furnish(&stage).map_err(failed("furnish the stage"))?;
    let attributes = Attributes {
        read_only: true,
        nosuid: true,
        nodev: true,
        noexec: true,
    };
    set_attributes(stage.as_fd(), Scope::Mount, attributes)
        .map_err(|e| (e.to_string(), e.errno()))?;

    rustix::mount::move_mount(
        &stage,
        c"",
        CWD,
        c"/",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .map_err(failed("move_mount the stage"))?;
    rustix::process::fchdir(&stage).map_err(failed("fchdir to the stage"))?;
    change_root().map_err(failed("change the root to the stage"))?;
    rustix::process::chdir("/").map_err(failed("chdir /"))
}

/// Makes the working directory the root and drops the old one.
fn change_root() -> Result<(), Errno> {
    match rustix::process::pivot_root(".", ".") {
        // The old root is stacked on the new one now; take it off.
        Ok(()) => rustix::mount::unmount(".", UnmountFlags::DETACH),
        // The kernel's first root file system cannot be pivoted away. It stays below the stage and,
        // after init pivoted off the stage, below the root of every container. What is mounted on
        // it covers it whole, so no path leads there, not even ".." out of a chroot; but whoever
        // may unmount the root of the container (CAP_SYS_ADMIN) uncovers it.
        Err(Errno::INVAL) => rustix::process::chroot("."),
        Err(error) => Err(error),
    }
}

fn furnish(stage: &OwnedFd) -> Result<(), Errno> {
    let inside = |path: &'static str| path.trim_start_matches('/');
    rustix::fs::mkdirat(stage, inside(CONTAINER), Mode::from_raw_mode(0o700))?;
    rustix::fs::mkdirat(stage, inside(EMPTY_DIRECTORY), Mode::from_raw_mode(0o555))?;
    let file = rustix::fs::openat(
        stage,
        inside(EMPTY_FILE),
        OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::from_raw_mode(0o444),
    )?;
    // The umask of the daemon is unknown: a container must be able to read what hides the host.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o444))?;
    rustix::fs::chmodat(
        stage,
        inside(EMPTY_DIRECTORY),
        Mode::from_raw_mode(0o555),
        rustix::fs::AtFlags::empty(),
    )?;
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(Errno::IO),
    }
}

fn open_directory(path: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::open(
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

fn failed<E: crate::step::Errno>(call: &'static str) -> impl Fn(E) -> Failure {
    move |error| (call.to_owned(), error.errno())
}
