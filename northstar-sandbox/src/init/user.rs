//! Runs in init, after fork. The user namespace of a container, and the namespaces it owns.
//!
//! Init itself stays in the daemon's user namespace: a payload that may trace, signal or change its
//! user may do so in its own user namespace only, and init is none of it. So that network, ipc and
//! uts namespace belong to the payload's user namespace all the same, as user_namespaces(7) wants it
//! for capabilities to have an effect on them, a helper process makes them from inside. Init opens
//! them and ends the helper, which executes nothing and sees nothing of the container.

use std::os::fd::{AsFd, OwnedFd};

use caps::{CapSet, Capability};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use northstar_sys::process::{self, Fork, PidNamespace};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, Signal, WaitOptions};

use super::code;
use crate::plan::IdRange;
use crate::step::{At, Step, StepError};

/// A user namespace and which ids of the host are its own.
pub(super) struct UserNamespace {
    pub(super) handle: OwnedFd,
    pub(super) ids: IdRange,
}

/// What `id` of a container is in the daemon's user namespace, where init creates files.
pub(super) fn outside(user: Option<&UserNamespace>, id: u32) -> Result<u32, Errno> {
    match user {
        None => Ok(id),
        Some(user) => user.ids.outside(id).ok_or(Errno::INVAL),
    }
}

/// Namespaces that belong to a user namespace.
pub(super) struct Owned {
    /// Unless another network was asked for.
    pub(super) network: Option<OwnedFd>,
    pub(super) ipc: OwnedFd,
    pub(super) uts: OwnedFd,
}

/// Makes a user namespace whose ids are `ids`, with an ipc and a uts namespace and, with `network`,
/// a network namespace.
pub(super) fn create(
    procfs: &OwnedFd,
    ids: IdRange,
    network: bool,
) -> Result<(UserNamespace, Owned), StepError> {
    let kind = SocketType::SEQPACKET;
    let pair = rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None);
    let (ours, theirs) = pair.at(Step::UserNamespace)?;
    let fork = process::fork(procfs.as_fd(), PidNamespace::Inherited).at(Step::UserNamespace)?;
    let pid = match fork {
        Fork::Child(_) => {
            drop(ours);
            help(&theirs, network)
        }
        Fork::Parent { pid, .. } => pid,
    };
    drop(theirs);
    let made = take(procfs, pid, &ours, ids, network);
    end(pid).at(Step::UserNamespace)?;
    made
}

fn take(
    procfs: &OwnedFd,
    helper: i32,
    socket: &OwnedFd,
    ids: IdRange,
    network: bool,
) -> Result<(UserNamespace, Owned), StepError> {
    // The namespace is there.
    receive(socket).at(Step::UserNamespace)?;
    // The maps before the rest: some kernel objects of a network namespace have an owner from the
    // start.
    for map in ["gid_map", "uid_map"] {
        write_map(procfs, helper, map, ids).at_detail(Step::UserNamespace, map)?;
    }
    send(socket, 0).at(Step::UserNamespace)?;
    receive(socket).at_detail(Step::UserNamespace, "namespaces")?;

    let open = |name: &'static str| {
        // A link of the kernel's, in a procfs nobody else can reach.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let path = format!("{helper}/ns/{name}");
        rustix::fs::openat(procfs, path, flags, Mode::empty()).at_detail(Step::UserNamespace, name)
    };
    let owned = Owned {
        network: network.then(|| open("net")).transpose()?,
        ipc: open("ipc")?,
        uts: open("uts")?,
    };
    let handle = open("user")?;
    Ok((UserNamespace { handle, ids }, owned))
}

/// `FIRST-INSIDE FIRST-OUTSIDE COUNT`, user_namespaces(7). One write, the only one the kernel takes.
fn write_map(procfs: &OwnedFd, helper: i32, name: &str, ids: IdRange) -> Result<(), Errno> {
    let path = format!("{helper}/{name}");
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(procfs, path, flags, Mode::empty())?;
    let map = format!("0 {} {}", ids.first, ids.count);
    match rustix::io::write(&file, map.as_bytes())? {
        written if written == map.len() => Ok(()),
        _ => Err(Errno::IO),
    }
}

/// Is the helper until it is killed.
fn help(socket: &OwnedFd, network: bool) -> ! {
    let mut owned = CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    owned.set(CloneFlags::CLONE_NEWNET, network);
    let tell = |result: nix::Result<()>| {
        let errno = result.map_or_else(|errno| errno as i32, |()| 0);
        if send(socket, errno).is_err() || errno != 0 {
            process::exit(code::FAILED);
        }
    };
    tell(raise_limits().and_then(|()| unshare(CloneFlags::CLONE_NEWUSER)));
    if receive(socket).is_err() {
        process::exit(code::FAILED);
    }
    tell(unshare(owned));
    // To the end of file or of this process.
    let _end = receive(socket);
    process::exit(code::DONE)
}

/// What the kernel counts for a user namespace as a whole: each soft limit of the process that makes
/// the namespace bounds what all processes in it have together, whatever their own limits are, and
/// the account is that of the maker's user, which all containers have in common (`create_user_ns`
/// and `inc_rlimit_ucounts` of the kernel).
const COUNTED: [Resource; 4] = [
    Resource::RLIMIT_MEMLOCK,
    Resource::RLIMIT_MSGQUEUE,
    Resource::RLIMIT_NPROC,
    Resource::RLIMIT_SIGPENDING,
];

/// Makes the limits of this process as high as it may, so that those of the payload decide. The
/// payload's can be no higher: it has the same privileges when it sets them.
fn raise_limits() -> nix::Result<()> {
    let unbounded = caps::has_cap(None, CapSet::Effective, Capability::CAP_SYS_RESOURCE)
        .map_err(|_| nix::errno::Errno::last())?;
    for resource in COUNTED {
        let limit = if unbounded {
            RLIM_INFINITY
        } else {
            getrlimit(resource)?.1
        };
        setrlimit(resource, limit, limit)?;
    }
    Ok(())
}

/// Kills and reaps the helper. Nothing of the container may be a child of init that it did not
/// make.
fn end(pid: i32) -> Result<(), Errno> {
    let pid = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    match rustix::process::kill_process(pid, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => return Err(error),
    }
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
            Err(Errno::INTR) => {}
            other => return other.map(drop),
        }
    }
}

fn send(socket: &OwnedFd, errno: i32) -> Result<(), Errno> {
    let flags = rustix::net::SendFlags::NOSIGNAL;
    rustix::net::send(socket, &errno.to_ne_bytes(), flags).map(drop)
}

/// Receives the outcome of what the other side did.
fn receive(socket: &OwnedFd) -> Result<(), Errno> {
    let mut word = [0; size_of::<i32>()];
    loop {
        match rustix::io::read(socket, &mut word) {
            Err(Errno::INTR) => {}
            Ok(length) if length == word.len() => {
                return match i32::from_ne_bytes(word) {
                    0 => Ok(()),
                    errno => Err(Errno::from_raw_os_error(errno)),
                };
            }
            Ok(_) => return Err(Errno::PIPE),
            Err(error) => return Err(error),
        }
    }
}
