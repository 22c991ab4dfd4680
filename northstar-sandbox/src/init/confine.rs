//! Runs in init, after fork. What is left of init's privileges once the payload exists: no
//! capabilities, no way to get any, and a handful of system calls.
//!
//! Init stays user 0, and not dumpable, so that no other user can trace it. Without capabilities
//! user 0 may not signal other users either; for that init keeps the payload's user as its saved
//! user id and borrows it as its real one for the moment of a kill(2). The saved user id lets the
//! payload signal init, too. It gains nothing: from inside its pid namespace process 1 gets only
//! signals it has a handler for, and init has none.
//!
//! A payload with CAP_SYS_PTRACE does trace it, and then init does what the payload wants. So init
//! must not have anything that the payload has not: no capabilities, no descriptor that leads out
//! of the container but the control socket, whose other end believes it for this container only,
//! and no system call that could get any.

use std::str::FromStr;

use caps::{CapSet, Capability};
use northstar_sys::process;
use northstar_sys::seccomp::{self, Instruction, answer, jump_if_equal, load};
use rustix::io::Errno;
use rustix::process::Uid;
use rustix::thread::CapabilitiesSecureBits;
use syscalls::Sysno;

use crate::payload::capabilities::drop_bounding;
use crate::plan::{CapabilitySet, ExecPlan, IdRange};
use crate::step::{At, Step, StepError};

/// On whose authority init signals the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Authority {
    /// As this user, borrowed.
    User(u32),
    /// By CAP_KILL, the one capability init keeps: a payload that may change its user has no
    /// user to borrow. It reaches no further than init's own pid namespace.
    Capability(u32),
}

impl Authority {
    /// `ids` are those of the payload's user namespace, which init is not in.
    pub(super) fn for_payload(
        plan: &ExecPlan,
        ids: Option<IdRange>,
    ) -> Result<Authority, StepError> {
        let outside = match ids {
            None => Some(plan.uid),
            Some(ids) => ids.outside(plan.uid),
        };
        let user = outside.ok_or(Errno::INVAL).at_detail(Step::Uid, plan.uid)?;
        Ok(if plan.capabilities.contains(Capability::CAP_SETUID) {
            Authority::Capability(user)
        } else {
            Authority::User(user)
        })
    }

    fn capabilities(self) -> CapabilitySet {
        match self {
            Authority::User(_) => CapabilitySet::EMPTY,
            Authority::Capability(_) => [Capability::CAP_KILL].into_iter().collect(),
        }
    }
}

/// Gives up every privilege but `authority`.
pub(super) fn drop_privileges(authority: Authority) -> Result<(), StepError> {
    let (Authority::User(user) | Authority::Capability(user)) = authority;
    let root = Uid::ROOT;
    rustix::thread::set_thread_res_uid(root, root, Uid::from_raw(user)).at(Step::DropInit)?;
    let keep = authority.capabilities().to_caps();
    drop_bounding(&CapabilitySet::EMPTY.to_caps()).at(Step::DropInit)?;
    // User 0 without these bits would get everything back by the next execve.
    let bits = CapabilitiesSecureBits::NO_ROOT | CapabilitiesSecureBits::NO_ROOT_LOCKED;
    rustix::thread::set_capabilities_secure_bits(bits).at(Step::DropInit)?;
    for set in [CapSet::Ambient, CapSet::Inheritable] {
        caps::clear(None, set)
            .map_err(|_| last_errno())
            .at(Step::DropInit)?;
    }
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &keep)
            .map_err(|_| last_errno())
            .at(Step::DropInit)?;
    }
    rustix::thread::set_no_new_privs(true).at(Step::DropInit)
}

/// Sends `signal` to the process group `group`.
pub(super) fn signal_group(group: i32, signal: i32, authority: Authority) -> Result<(), Errno> {
    let send =
        || process::kill_group(group, signal).map_err(|e| Errno::from_raw_os_error(e.errno()));
    match authority {
        Authority::Capability(_) => send(),
        Authority::User(user) => {
            let root = Uid::ROOT;
            let user = Uid::from_raw(user);
            // The real and not the effective one: a change of that would make the kernel forget
            // the parent-death signal.
            rustix::thread::set_thread_res_uid(user, root, user)?;
            let sent = send();
            rustix::thread::set_thread_res_uid(root, root, user)?;
            sent
        }
    }
}

/// Every system call of an init that only passes signals on, reaps and reports, including what
/// the allocator may need. None of them passes descriptors on: who closes one it did not ask for
/// may have to wait, for a connection that lingers or a file system that hangs. Names that an architecture does not have are skipped.
const SYSCALLS: &[&str] = &[
    "brk",
    "close",
    "exit_group",
    "futex",
    "kill",
    "madvise",
    "mmap",
    "mremap",
    "munmap",
    "poll",
    "ppoll",
    "read",
    "recvmsg",
    "restart_syscall",
    "rt_sigreturn",
    "sendto",
    "setresuid",
    "wait4",
    "write",
];

/// Denies init every system call it does not need from here on (EPERM).
pub(super) fn filter_init() -> Result<(), StepError> {
    seccomp::install(&program()).at(Step::DropInit)
}

fn program() -> Vec<Instruction> {
    let [native, _] = seccomp::ARCHITECTURES;
    let mut program = vec![
        load(seccomp::ARCHITECTURE),
        jump_if_equal(native, 1, 0),
        answer(seccomp::KILL_PROCESS),
        load(seccomp::NUMBER),
    ];
    for name in SYSCALLS {
        if let Ok(number) = Sysno::from_str(name) {
            let number = u32::try_from(number.id()).unwrap_or(u32::MAX);
            program.extend([jump_if_equal(number, 0, 1), answer(seccomp::ALLOW)]);
        }
    }
    program.push(answer(seccomp::DENY));
    program
}

fn last_errno() -> Errno {
    std::io::Error::last_os_error()
        .raw_os_error()
        .map_or(Errno::PERM, Errno::from_raw_os_error)
}
