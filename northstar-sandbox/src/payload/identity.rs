//! Runs in the payload, after fork. Who the payload is: set, then read back, because a call that
//! silently does less than asked leaves a program with somebody else's rights.

use std::collections::BTreeSet;

use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use crate::step::{At, Step, StepError};

/// Sets the supplementary groups to exactly `groups`.
pub(super) fn set_groups(groups: &[u32]) -> Result<(), StepError> {
    let wanted = groups
        .iter()
        .map(|group| Gid::from_raw(*group))
        .collect::<Vec<_>>();
    rustix::thread::set_thread_groups(&wanted).at(Step::Groups)?;
    // The kernel sorts them; what counts is which.
    let in_force = nix::unistd::getgroups().at(Step::Groups)?;
    let in_force = in_force
        .iter()
        .map(|group| group.as_raw())
        .collect::<BTreeSet<_>>();
    if in_force == groups.iter().copied().collect() {
        Ok(())
    } else {
        Err(Errno::PROTO).at_detail(Step::Groups, format!("{in_force:?}"))
    }
}

/// Sets the real, effective and saved group id.
pub(super) fn set_gid(gid: u32) -> Result<(), StepError> {
    refuse_special(gid).at_detail(Step::Gid, gid)?;
    let id = Gid::from_raw(gid);
    rustix::thread::set_thread_res_gid(id, id, id).at_detail(Step::Gid, gid)?;
    let found = nix::unistd::getresgid().at(Step::Gid)?;
    let found = [found.real, found.effective, found.saved].map(nix::unistd::Gid::as_raw);
    if found == [gid; 3] {
        Ok(())
    } else {
        Err(Errno::PROTO).at_detail(Step::Gid, gid)
    }
}

/// Sets the real, effective and saved user id, keeping the permitted capabilities for the step
/// that makes them exact.
pub(super) fn set_uid(uid: u32) -> Result<(), StepError> {
    refuse_special(uid).at_detail(Step::Uid, uid)?;
    rustix::thread::set_keep_capabilities(true).at(Step::Uid)?;
    let id = Uid::from_raw(uid);
    rustix::thread::set_thread_res_uid(id, id, id).at_detail(Step::Uid, uid)?;
    let found = nix::unistd::getresuid().at(Step::Uid)?;
    let found = [found.real, found.effective, found.saved].map(nix::unistd::Uid::as_raw);
    if found == [uid; 3] {
        Ok(())
    } else {
        Err(Errno::PROTO).at_detail(Step::Uid, uid)
    }
}

/// 0 is root; the largest number means "unchanged" to the kernel.
fn refuse_special(id: u32) -> Result<(), Errno> {
    if id == 0 || id == u32::MAX {
        Err(Errno::INVAL)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_unchanged_are_refused_before_any_call() {
        for id in [0, u32::MAX] {
            assert_eq!(set_uid(id).unwrap_err().step, Step::Uid);
            assert_eq!(set_gid(id).unwrap_err().step, Step::Gid);
        }
    }
}
