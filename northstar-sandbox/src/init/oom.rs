//! Runs in init, after fork. Daemons may be protected from being killed for memory; containers are
//! not.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::read_procfs;

/// Raises the score of proc_pid_oom_score_adj(5) to that of an ordinary process. What the payload
/// could lower it to goes with it, if the daemon has CAP_SYS_RESOURCE.
pub(super) fn expose(procfs: &OwnedFd) -> Result<(), Errno> {
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
