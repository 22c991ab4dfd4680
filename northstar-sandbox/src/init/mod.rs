//! Runs in init, after fork: one thread, process 1 of a container. `run` is the straight list of
//! what happens, step by step; `docs/start.md` says the same in prose.
//!
//! ```text
//!   arm ----> park ----> go: fork payload ----> reap ----> exit
//!     \         \              \
//!      `---------`--------------`--> Failed(step, errno) --> exit
//! ```
//!
//! However init ends, the kernel kills what is left in its pid namespace.

mod confine;
mod dev;
mod fresh;
mod isolate;
mod mask;
mod mountinfo;
mod mounts;
mod oom;
mod park;
mod reaper;
mod user;

use std::os::fd::{AsFd, OwnedFd};

use nix::sched::{CloneFlags, setns, unshare};
use northstar_sys::fd;
use northstar_sys::process::{self, Child};
use northstar_sys::seqpacket::Wait;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Signal};

use self::user::{Owned, UserNamespace};
use crate::ipc;
use crate::message::FromInit;
use crate::null;
use crate::plan::{ArmPlan, DescriptorIndex, NetworkPlan};
use crate::step::{At, Step, StepError};

/// Name in `/proc/PID/comm`.
const NAME: &std::ffi::CStr = c"northstar-init";

/// Exit codes of init; the payload's status travels over the control socket.
mod code {
    pub(super) const DONE: i32 = 0;
    pub(super) const FAILED: i32 = 1;
}

/// What an init is born with.
pub(crate) struct Start {
    /// Init's end of the control socket.
    pub(crate) control: OwnedFd,
    /// The arm plan in a sealed memory file.
    pub(crate) plan: OwnedFd,
    /// What the plan names by index.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Descriptor of the forker process.
    pub(crate) forker: OwnedFd,
}

/// An init whose world is built.
struct Armed {
    /// Root of a procfs of this pid namespace that is mounted nowhere.
    procfs: OwnedFd,
    /// The payload's user namespace, if it is not this one.
    user: Option<UserNamespace>,
}

/// Is init until it ends.
pub(crate) fn run(child: &Child, start: Start) -> ! {
    let Start {
        control,
        plan,
        descriptors,
        forker,
    } = start;
    let armed = or_report(&control, arm(child, &control, plan, descriptors, forker));
    let go = or_report(&control, park::wait_for_go(&control));
    reaper::run_payload(control, armed, go)
}

/// What a step achieved; when it failed, the daemon is told why and init ends.
fn or_report<T>(control: &OwnedFd, result: Result<T, StepError>) -> T {
    match result {
        Ok(achieved) => achieved,
        Err(error) => {
            let message = FromInit::Failed(error);
            let _nobody_listens = ipc::send(control.as_fd(), &message, &[], Wait::Block);
            process::exit(code::FAILED)
        }
    }
}

fn arm(
    child: &Child,
    control: &OwnedFd,
    plan: OwnedFd,
    descriptors: Vec<OwnedFd>,
    forker: OwnedFd,
) -> Result<Armed, StepError> {
    // Descriptors: first, so that nothing of the forker, above all the pidfds of other inits and
    // the daemon's socket, is around when anything else happens. Nor what other containers have as
    // their standard streams.
    keep_only(child, &[control, &plan, &forker], &descriptors)?;
    null::standard_streams().at(Step::Descriptors)?;

    // Dumpable: before the container can see this process.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).at(Step::Dumpable)?;

    // Session: away from the forker's, so that no signal to a process group and no terminal
    // reaches from one container to another.
    rustix::process::setsid().at(Step::Session)?;
    rustix::thread::set_name(NAME).at(Step::Session)?;

    // Keyring: away from the daemon's session, whose keys every process in it may use.
    process::new_session_keyring().at(Step::Keyring)?;

    // Parent death: before the first thing that would outlive the daemon. The signal comes when
    // the forker dies from now on; if it died before, its pidfd says so.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).at(Step::ParentDeath)?;
    forker_is_alive(&forker).at(Step::ParentDeath)?;
    drop(forker);

    // Umask: before the first file is created.
    rustix::process::umask(Mode::from_raw_mode(0o077));

    // Plan: read while no file system of the container is around that could get in the way.
    let arm_plan = ipc::unseal::<ArmPlan>(&plan).at(Step::Plan)?;
    drop(plan);

    // Procfs: a handle of our own, mounted nowhere, so that no image can pass something else off
    // as procfs when a map of ids is written, mountinfo is read or a label is written.
    let procfs = mounts::procfs().at(Step::Procfs)?;

    // Out of memory: the daemon may be protected from being killed for memory. A container that
    // inherited that could be held by no limit of memory, and others would be killed in its place.
    oom::expose(&procfs).at(Step::OomScore)?;

    // User namespace: before the namespaces that belong to it. Init does not enter it.
    let (user, owned) = match arm_plan.user {
        None => (None, None),
        Some(ids) => {
            let private = arm_plan.network == NetworkPlan::Private;
            let (user, owned) = user::create(&procfs, ids, private)?;
            (Some(user), Some(owned))
        }
    };

    // Network: before anything of the container is mounted, because a sysfs belongs to the
    // network namespace it is mounted in. No namespace, no start.
    enter_network(arm_plan.network, &descriptors, owned.as_ref())?;

    // Namespaces: what follows changes mounts and the host name for this container alone.
    enter_namespaces(owned)?;

    // Private: before the first mount, which would otherwise show up in the forker's namespace.
    isolate::make_private()?;

    // Hostname: in the new uts namespace, while the privilege to set it is still there.
    if let Some(hostname) = &arm_plan.hostname {
        nix::unistd::sethostname(hostname).at_detail(Step::Hostname, hostname)?;
    }

    // Root and what is below it, parents first, every target resolved inside the root; then what
    // the kernel says compared with the plan, while a difference can still stop the start.
    let mounted = mounts::mount_all(&arm_plan, &descriptors, &procfs, user.as_ref())?;
    mountinfo::compare(&procfs, &mounted, mountinfo::View::Stage)?;

    // Pivot root, detach old root, working directory: the new root becomes the only one.
    isolate::change_root(mounted.root())?;

    // Isolation: last, because only now nothing but the plan's mounts may be left.
    mountinfo::compare(&procfs, &mounted, mountinfo::View::Container)?;

    Ok(Armed { procfs, user })
}

fn keep_only(child: &Child, own: &[&OwnedFd], plan: &[OwnedFd]) -> Result<(), StepError> {
    let keep = own
        .iter()
        .copied()
        .chain(plan)
        .map(AsFd::as_fd)
        .collect::<Vec<_>>();
    fd::close_all_except(child, &keep).at(Step::Descriptors)
}

fn forker_is_alive(forker: &OwnedFd) -> Result<(), Errno> {
    let mut descriptors = [PollFd::new(forker, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match rustix::event::poll(&mut descriptors, Some(&now))? {
        0 => Ok(()),
        _ => Err(Errno::SRCH),
    }
}

fn enter_network(
    network: NetworkPlan,
    descriptors: &[OwnedFd],
    owned: Option<&Owned>,
) -> Result<(), StepError> {
    let made = owned.and_then(|owned| owned.network.as_ref());
    match (network, made) {
        (NetworkPlan::Host, _) => Ok(()),
        (NetworkPlan::Private, Some(made)) => {
            setns(made, CloneFlags::CLONE_NEWNET).at(Step::Network)
        }
        (NetworkPlan::Private, None) => unshare(CloneFlags::CLONE_NEWNET).at(Step::Network),
        (NetworkPlan::Join(index), _) => {
            let namespace = pick(descriptors, index, Step::Network)?;
            setns(namespace, CloneFlags::CLONE_NEWNET).at(Step::Network)
        }
    }
}

/// Makes mount, ipc and uts namespace. The mount namespace belongs to the daemon's user namespace
/// in any case: whatever the payload may do in its own, it cannot change the mounts it was given.
fn enter_namespaces(owned: Option<Owned>) -> Result<(), StepError> {
    let Some(Owned { ipc, uts, .. }) = owned else {
        let all = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
        return unshare(all).at(Step::Namespaces);
    };
    unshare(CloneFlags::CLONE_NEWNS).at(Step::Namespaces)?;
    setns(ipc, CloneFlags::CLONE_NEWIPC).at(Step::Namespaces)?;
    setns(uts, CloneFlags::CLONE_NEWUTS).at(Step::Namespaces)
}

/// The descriptor a plan names; the daemon checked the index already.
fn pick(
    descriptors: &[OwnedFd],
    index: DescriptorIndex,
    step: Step,
) -> Result<&OwnedFd, StepError> {
    descriptors
        .get(usize::from(index.0))
        .ok_or_else(|| StepError::new(step, Errno::BADF.raw_os_error(), index.0.to_string()))
}

/// Reads a file of the own procfs.
fn read_procfs(procfs: &OwnedFd, path: &str) -> Result<Vec<u8>, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(procfs, path, flags, Mode::empty(), ResolveFlags::BENEATH)?;
    read_to_end(&file)
}

fn read_to_end(file: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let mut content = Vec::with_capacity(4096);
    loop {
        content.reserve(4096);
        match rustix::io::read(file, rustix::buffer::spare_capacity(&mut content)) {
            Ok(0) => return Ok(content),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The id mountinfo shows for the mount that `descriptor` is on.
fn mount_id(descriptor: &OwnedFd) -> Result<u64, Errno> {
    let mask = rustix::fs::StatxFlags::MNT_ID;
    let found = rustix::fs::statx(descriptor, c"", AtFlags::EMPTY_PATH, mask)?;
    if found.stx_mask & mask.bits() == 0 {
        Err(Errno::NOSYS)
    } else {
        Ok(found.stx_mnt_id)
    }
}
