//! Forking, with the contract of fork(2) in Rust made checkable: only a process with one thread
//! may fork and go on running Rust code in the child.
//!
//! Replaces `fork` of nix and libc because those are unsafe functions and cannot create
//! namespaces; it will never offer a shared address space, threads or a stack of its own.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use linux_raw_sys::general::{CLONE_INTO_CGROUP, CLONE_NEWPID, CLONE_PIDFD, clone_args};
use rustix::fs::{AtFlags, PROC_SUPER_MAGIC};

use crate::error::check;
use crate::{Error, Result};

/// Which side of [`fork`] the caller is on.
#[derive(Debug)]
pub enum Fork {
    /// The parent: the child's process id, seen from here, and a descriptor that stays its own
    /// even when the id is given to another process (pidfd_open(2)).
    Parent {
        /// Process id in the caller's pid namespace.
        pid: i32,
        /// Close-on-exec descriptor of the child.
        pidfd: OwnedFd,
    },
    /// The child.
    Child(Child),
}

/// Proof that this process was just forked and has one thread.
///
/// Functions that act on the whole process, such as closing descriptors nobody named, ask for it.
#[derive(Debug)]
pub struct Child {
    _private: (),
}

/// Pid namespace of a forked child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PidNamespace {
    /// The caller's.
    Inherited,
    /// A new one in which the child is process 1. When it ends, the kernel kills the rest.
    New,
}

/// Counts the threads of this process through `procfs`, a descriptor of a mounted procfs.
///
/// # Errors
/// The errno of stat(2) on `self/task`; ENOSYS when `procfs` is some other file system.
pub fn threads(procfs: BorrowedFd<'_>) -> Result<u64> {
    let filesystem = rustix::fs::fstatfs(procfs).map_err(|e| Error::new("fstatfs", "procfs", e))?;
    if filesystem.f_type != PROC_SUPER_MAGIC {
        return Err(Error::from_errno("fstatfs", "not a procfs", libc::ENOSYS));
    }
    // A task directory has one link per thread beside "." and "..": one stat instead of a listing.
    let task = rustix::fs::statat(procfs, c"self/task", AtFlags::empty())
        .map_err(|e| Error::new("stat", "/proc/self/task", e))?;
    #[allow(clippy::useless_conversion, reason = "narrower on other architectures")]
    let links = u64::from(task.st_nlink);
    Ok(links.saturating_sub(2))
}

/// Forks this process with clone3(2); the child's end is announced to the parent by SIGCHLD.
///
/// The child starts with a copy of everything, other namespaces than the pid namespace included.
///
/// # Errors
/// EBUSY when this process has more than one thread, counted through `procfs`; else the errno of
/// clone3(2).
pub fn fork(procfs: BorrowedFd<'_>, namespace: PidNamespace) -> Result<Fork> {
    fork_into(procfs, namespace, None)
}

/// As [`fork`], with the child in the control group of version 2 whose directory is `cgroup`
/// (`CLONE_INTO_CGROUP`). To move a process later makes the kernel wait until every processor has
/// come around, milliseconds; this does not.
///
/// # Errors
/// As `fork`, and for the group: EBUSY when it has controllers for groups below it, EACCES, or
/// EOPNOTSUPP when it is a threaded one.
pub fn fork_into(
    procfs: BorrowedFd<'_>,
    namespace: PidNamespace,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Fork> {
    let threads = threads(procfs)?;
    if threads != 1 {
        return Err(Error::from_errno(
            "clone3",
            format!("{threads} threads"),
            libc::EBUSY,
        ));
    }

    let mut pidfd: RawFd = -1;
    let namespace_flag = match namespace {
        PidNamespace::Inherited => 0,
        PidNamespace::New => CLONE_NEWPID,
    };
    let cgroup_flag = if cgroup.is_some() {
        CLONE_INTO_CGROUP
    } else {
        0
    };
    let arguments = clone_args {
        flags: u64::from(CLONE_PIDFD | namespace_flag) | cgroup_flag,
        pidfd: (&raw mut pidfd).addr() as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        // Descriptors are never negative. It is open for the duration of the call.
        cgroup: cgroup.map_or(0, |cgroup| u64::from(cgroup.as_raw_fd().unsigned_abs())),
    };
    (&raw mut pidfd).expose_provenance();
    // SAFETY: without CLONE_VM the child works on a copy of the address space, and the thread count
    // above says that this thread is the only one, so no lock or half-done change of another thread
    // is in that copy. `arguments` has the size given, and its `pidfd` points to a live RawFd.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<clone_args>(),
        )
    };
    let pid = check("clone3", returned, || {
        format!(
            "{namespace:?} pid namespace, into a cgroup: {}",
            cgroup.is_some()
        )
    })?;
    if pid == 0 {
        return Ok(Fork::Child(Child { _private: () }));
    }
    // SAFETY: the kernel stored a new descriptor in `pidfd` that nobody else knows of.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Fork::Parent {
        pid: i32::try_from(pid).unwrap_or(-1),
        pidfd,
    })
}

/// Ends this process at once: no destructors, no exit handlers, no buffer flushed a second time.
///
/// A forked child must leave through here, because what it would flush belongs to its parent.
pub fn exit(status: i32) -> ! {
    // SAFETY: _exit ends the process, so nothing can be left in a state somebody could observe.
    unsafe { libc::_exit(status) }
}

/// Overwrites the environment that this process has in common with its parent, environ(7), and has none from then on.
///
/// For a child that gets nothing from there but would pass it on to whoever may read its memory.
pub fn forget_environment(_proof: &Child) {
    unsafe extern "C" {
        static mut environ: *mut *mut libc::c_char;
    }
    // SAFETY: the proof says that this is the only thread, so nobody changes the pointer meanwhile.
    let mut entry = unsafe { environ };
    while !entry.is_null() {
        // SAFETY: environ points to a list that ends with a null pointer (environ(7)), behind which nothing is read.
        let text = unsafe { *entry };
        if text.is_null() {
            break;
        }
        // SAFETY: every pointer of the list is to a string of C.
        let length = unsafe { libc::strlen(text) };
        // SAFETY: the strings are memory of this process that can be written. Who keeps a pointer from getenv(3) reads an
        // empty string there.
        unsafe { std::ptr::write_bytes(text, 0, length) };
        // SAFETY: this entry is part of the list, which can be written as well.
        unsafe { *entry = std::ptr::null_mut() };
        // SAFETY: this entry was not the last one.
        entry = unsafe { entry.add(1) };
    }
}

/// Whether this process got privileges from the program it executes that whoever executed it does not have: AT_SECURE of
/// getauxval(3). What came from there, like the environment, is not to be trusted then.
pub fn is_more_privileged_than_its_caller() -> bool {
    // SAFETY: getauxval takes a number and returns one, out of a table that never changes.
    let secure = unsafe { libc::getauxval(libc::AT_SECURE) };
    secure != 0
}

/// Sends `signal`, any number of signal(7) including real-time ones, to the process of `pidfd`.
///
/// # Errors
/// The errno of pidfd_send_signal(2): ESRCH when the process is gone, EINVAL for a bad number.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    // SAFETY: `pidfd` is open for the duration of the call; a null siginfo asks for the default.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0u32,
        )
    };
    check("pidfd_send_signal", returned, || format!("signal {signal}")).map(drop)
}

/// Gives this process a new, empty session keyring in place of the inherited one, keyctl(2). Does
/// nothing on a kernel without keyrings.
///
/// # Errors
/// The errno of keyctl(2): EDQUOT when root has too many keys.
pub fn new_session_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory is touched.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    match check("keyctl", returned, || "KEYCTL_JOIN_SESSION_KEYRING") {
        Err(error) if error.errno() == libc::ENOSYS => Ok(()),
        other => other.map(drop),
    }
}

/// Sends `signal`, any number of signal(7) including real-time ones, to the process group `group`.
///
/// # Errors
/// EINVAL for a group that is not positive or a bad signal; the errno of kill(2).
pub fn kill_group(group: i32, signal: i32) -> Result<()> {
    let describe = || format!("group {group}, signal {signal}");
    // 0 and 1 have meanings of their own to kill(2): the caller's group, and everybody.
    if group <= 1 {
        return Err(Error::from_errno("kill", describe(), libc::EINVAL));
    }
    // SAFETY: kill takes two numbers and touches no memory.
    let returned = unsafe { libc::kill(group.saturating_neg(), signal) };
    check("kill", returned.into(), describe).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn second_thread_forbids_to_fork() {
        // The test harness runs each test in a thread of its own beside the main thread.
        let procfs = File::open("/proc").unwrap();
        assert!(threads(procfs.as_fd()).unwrap() > 1);
        let error = fork(procfs.as_fd(), PidNamespace::Inherited).unwrap_err();
        assert_eq!(error.errno(), libc::EBUSY);
    }

    #[test]
    fn threads_are_not_counted_outside_a_procfs() {
        let root = File::open("/").unwrap();
        assert_eq!(threads(root.as_fd()).unwrap_err().errno(), libc::ENOSYS);
    }

    #[test]
    fn groups_with_a_special_meaning_are_refused() {
        for group in [1, 0, -1, i32::MIN] {
            assert_eq!(
                kill_group(group, 0).unwrap_err().errno(),
                libc::EINVAL,
                "{group}"
            );
        }
    }

    #[test]
    fn signal_zero_reaches_this_process_and_a_bad_number_does_not() {
        let pidfd = rustix::process::pidfd_open(
            rustix::process::getpid(),
            rustix::process::PidfdFlags::empty(),
        )
        .unwrap();
        assert!(pidfd_send_signal(pidfd.as_fd(), 0).is_ok());
        let error = pidfd_send_signal(pidfd.as_fd(), 4096).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
    }
}
