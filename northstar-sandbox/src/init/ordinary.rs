//! Runs in init, after fork. What a daemon may have been given so that it is served before others,
//! and a container must not have from it.

use std::os::fd::OwnedFd;

use northstar_sys::sched;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::read_procfs;

/// Raises the score of proc_pid_oom_score_adj(5) to that of an ordinary process. What the payload
/// could lower it to goes with it, if the daemon has CAP_SYS_RESOURCE.
pub(super) fn oom_score(procfs: &OwnedFd) -> Result<(), Errno> {
    const SCORE: &str = "self/oom_score_adj";
    let score = read_procfs(procfs, SCORE)?;
    if !score.starts_with(b"-") {
        return Ok(());
    }
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::empty();
    let file = rustix::fs::openat2(procfs, SCORE, flags, Mode::empty(), resolve)?;
    rustix::io::write(&file, b"0")?;
    match read_procfs(procfs, SCORE)?.as_slice() {
        b"0\n" => Ok(()),
        _ => Err(Errno::PROTO),
    }
}

/// Gives init, and so the payload, the scheduling and the I/O priority of an ordinary process.
pub(super) fn scheduling() -> northstar_sys::Result<()> {
    sched::reset()
}
