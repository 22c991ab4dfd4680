//! The daemon's side of the forker.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use northstar_sys::process::{self, Fork, PidNamespace};
use northstar_sys::seqpacket::{self, Wait};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{WaitId, WaitIdOptions};

use super::control::Control;
use crate::ipc::{self, ReceiveError, SendError};
use crate::message::{ExitStatus, FromForker, ToForker};
use crate::plan::{ArmPlan, DescriptorIndex, MountKind, NetworkPlan};
use crate::step::{Step, StepError};

/// How long a new forker may take to say that it is ready. Nobody waits for the daemon's answers yet, one that has died is noticed
/// at once, and a machine that starts everything at the same time may keep it waiting for seconds.
const READY: Duration = Duration::from_secs(30);
/// How long an old forker may take to leave.
const PATIENCE: Duration = Duration::from_secs(5);

/// The forker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// A system call failed; EBUSY from clone3 means that this process has more than one thread.
    #[error("cannot fork the forker")]
    System(#[source] northstar_sys::Error),
    /// `/proc` cannot be opened.
    #[error("cannot open /proc")]
    Procfs(#[source] std::io::Error),
    /// The forker could not set itself up.
    #[error("the forker failed at {call}")]
    Setup {
        /// What it tried.
        call: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The forker ended or hung before it was ready.
    #[error("the forker is not ready")]
    NotReady(#[source] Option<ReceiveError>),
}

/// What the forker tells.
#[derive(Debug)]
pub enum ForkerEvent {
    /// Init exists.
    Created {
        /// The id given to [`Forker::create`].
        id: u64,
        /// Process id of init, seen from the daemon.
        pid: i32,
        /// Descriptor of init: kills it, and becomes readable when it ended.
        pidfd: OwnedFd,
    },
    /// Init could not be created, or this process has no descriptor left for it: it ends then when
    /// its [`Control`] is dropped.
    CreateFailed {
        /// The id given to [`Forker::create`].
        id: u64,
        /// Why.
        error: StepError,
    },
    /// Init ended and was reaped; with it every process of its container.
    Exited {
        /// The id given to [`Forker::create`].
        id: u64,
        /// How init itself ended; the payload's status comes from init.
        status: ExitStatus,
    },
    /// The answer to [`Forker::ping`].
    Alive {
        /// The number given to [`Forker::ping`].
        number: u64,
    },
}

/// The daemon's handle of the forker. Dropping it ends the forker and every container.
#[derive(Debug)]
pub struct Forker {
    socket: OwnedFd,
    pid: i32,
    pidfd: OwnedFd,
}

impl Forker {
    /// Forks the forker and waits until it is ready. Must be called while the process has one
    /// thread, on the thread that lives as long as the daemon: the forker dies with it.
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub fn spawn() -> Result<Forker, SpawnError> {
        let procfs = File::open("/proc").map_err(SpawnError::Procfs)?;
        let (ours, theirs) = seqpacket::pair().map_err(SpawnError::System)?;
        let daemon = rustix::process::getpid();
        let fork = process::fork(procfs.as_fd(), PidNamespace::Inherited);
        match fork.map_err(SpawnError::System)? {
            Fork::Child(child) => super::process::run(&child, theirs, procfs.into(), daemon),
            Fork::Parent { pid, pidfd } => {
                drop(theirs);
                let forker = Forker {
                    socket: ours,
                    pid,
                    pidfd,
                };
                forker.wait_until_ready()?;
                Ok(forker)
            }
        }
    }

    /// Process id of the forker.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Descriptor of the forker; readable when it ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Asks for an init that executes `plan`. `descriptors` are those the plan names by index;
    /// init gets duplicates. `cgroup` is the directory of the control group of version 2 that it
    /// is born in. `id` comes back in the events of this init and must not be in use.
    ///
    /// # Errors
    /// See [`SendError`]; nothing has happened then.
    pub fn create(
        &self,
        id: u64,
        plan: &ArmPlan,
        descriptors: &[BorrowedFd<'_>],
        cgroup: Option<BorrowedFd<'_>>,
    ) -> Result<Control, SendError> {
        let (file, count) = ipc::seal(plan, named(plan), descriptors.len())?;
        let (ours, theirs) = seqpacket::pair().map_err(SendError::System)?;
        let mut all = vec![theirs.as_fd(), file.as_fd()];
        all.extend(cgroup);
        all.extend_from_slice(descriptors);
        let message = ToForker::Create {
            id,
            descriptors: count,
            cgroup: cgroup.is_some(),
        };
        ipc::send(self.as_fd(), &message, &all, Wait::Never)?;
        Ok(Control::new(ours))
    }

    /// Asks for a sign of life, [`ForkerEvent::Alive`] with the same number.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn ping(&self, number: u64) -> Result<(), SendError> {
        ipc::send(self.as_fd(), &ToForker::Ping(number), &[], Wait::Never)
    }

    /// Receives one event without waiting; `None` when there is none now.
    ///
    /// # Errors
    /// [`ReceiveError::Closed`] when the forker is gone, and with it every container.
    pub fn receive(&self) -> Result<Option<ForkerEvent>, ReceiveError> {
        let Some((message, descriptors)) = ipc::receive(self.as_fd(), Wait::Never)? else {
            return Ok(None);
        };
        let expected = usize::from(matches!(message, FromForker::Created { .. }));
        let mut descriptors = match (ipc::expect_descriptors(descriptors, expected), &message) {
            // One init that this process has no descriptor left for is no reason to give up all containers. It ends by
            // itself when its control is dropped.
            (Err(ReceiveError::DescriptorsLost), FromForker::Created { id, .. }) => {
                return Ok(Some(ForkerEvent::CreateFailed {
                    id: *id,
                    error: StepError::new(Step::Clone, NO_DESCRIPTOR, "descriptor of init"),
                }));
            }
            (descriptors, _) => descriptors?,
        };
        Ok(Some(match (message, descriptors.pop()) {
            (FromForker::Created { id, pid }, Some(pidfd)) => {
                ForkerEvent::Created { id, pid, pidfd }
            }
            (FromForker::CreateFailed { id, error }, None) => {
                ForkerEvent::CreateFailed { id, error }
            }
            (FromForker::Exited { id, status }, None) => ForkerEvent::Exited { id, status },
            (FromForker::Alive(number), None) => ForkerEvent::Alive { number },
            _ => {
                return Err(ReceiveError::Malformed(
                    postcard::Error::DeserializeBadEncoding,
                ));
            }
        }))
    }

    fn wait_until_ready(&self) -> Result<(), SpawnError> {
        if !readable_within(self.as_fd(), READY) {
            return Err(SpawnError::NotReady(None));
        }
        match ipc::receive(self.as_fd(), Wait::Never) {
            Ok(Some((FromForker::Ready, _))) => Ok(()),
            Ok(Some((FromForker::SetupFailed { call, errno }, _))) => Err(SpawnError::Setup {
                call,
                source: std::io::Error::from_raw_os_error(errno),
            }),
            Ok(_) => Err(SpawnError::NotReady(None)),
            Err(error) => Err(SpawnError::NotReady(Some(error))),
        }
    }
}

impl AsFd for Forker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Forker {
    /// Ends the conversation, which makes the forker kill and reap every init and leave; one that
    /// does not is killed, and its inits die with it.
    fn drop(&mut self) {
        let _ended = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        if !readable_within(self.pidfd.as_fd(), PATIENCE) {
            let _gone = process::pidfd_send_signal(self.pidfd.as_fd(), SIGKILL);
        }
        let _reaped =
            rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
    }
}

const NO_DESCRIPTOR: i32 = rustix::io::Errno::MFILE.raw_os_error();
const SIGKILL: i32 = rustix::process::Signal::KILL.as_raw();

fn named(plan: &ArmPlan) -> impl Iterator<Item = DescriptorIndex> {
    let network = match plan.network {
        NetworkPlan::Join(index) => Some(index),
        NetworkPlan::Private | NetworkPlan::Host => None,
    };
    let mounts = plan.mounts.iter().filter_map(|mount| match mount.kind {
        MountKind::Attach(index) => Some(index),
        _ => None,
    });
    network.into_iter().chain([plan.root]).chain(mounts)
}

fn readable_within(descriptor: BorrowedFd<'_>, patience: Duration) -> bool {
    let timeout = Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(patience.subsec_nanos()),
    };
    let mut descriptors = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    loop {
        match rustix::event::poll(&mut descriptors, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(ready) => return ready > 0,
            Err(_) => return false,
        }
    }
}
