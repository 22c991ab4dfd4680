//! Runs in init, after fork. The change of root: from the stage to the container, nothing left
//! behind.

use std::os::fd::{AsFd, OwnedFd};

use northstar_sys::mount::{Scope, set_private};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::step::{At, Step, StepError};

/// Cuts every mount off from its peers in other namespaces.
pub(super) fn make_private() -> Result<(), StepError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open("/", flags, Mode::empty()).at(Step::Private)?;
    set_private(root.as_fd(), Scope::Tree).at(Step::Private)
}

/// Makes `root`, an attached mount, the root of this mount namespace and the working directory.
pub(super) fn change_root(root: &OwnedFd) -> Result<(), StepError> {
    // pivot_root and not chroot: a process with CAP_SYS_CHROOT leaves a chroot, but the old root
    // is not even mounted in this namespace afterwards. With "." twice the old root is stacked
    // onto the new one, so the image needs no directory for it.
    rustix::process::fchdir(root).at(Step::PivotRoot)?;
    rustix::process::pivot_root(".", ".").at(Step::PivotRoot)?;

    // "." is the old root now, on top.
    rustix::mount::unmount(".", UnmountFlags::DETACH).at(Step::DetachOldRoot)?;

    // A working directory outside the root is a way out: it has to be the root, and the kernel
    // says "(unreachable)" before the path of any other.
    rustix::process::chdir("/").at(Step::WorkingDirectory)?;
    let directory = rustix::process::getcwd(Vec::new()).at(Step::WorkingDirectory)?;
    if directory.as_bytes() == b"/" {
        Ok(())
    } else {
        let detail = directory.to_string_lossy().into_owned();
        Err(StepError::new(
            Step::WorkingDirectory,
            Errno::XDEV.raw_os_error(),
            detail,
        ))
    }
}
