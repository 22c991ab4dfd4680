//! Runs in the forker, after fork: one thread, no runtime, no panics. It takes requests from the
//! daemon's socket and watches the pidfds of its inits; it never looks into a container.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use northstar_sys::process::{self, Child, Fork, PidNamespace};
use northstar_sys::seqpacket::Wait;
use northstar_sys::{fd, signal};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus,
};

use super::stage::{self, Failure};
use crate::init;
use crate::ipc::{self, ReceiveError, SendError};
use crate::message::{ExitStatus, FromForker, ToForker};
use crate::null;
use crate::step::{At, Step, StepError};

/// Name in `/proc/PID/comm`.
const NAME: &std::ffi::CStr = c"northstar-fork";

/// Epoll key of the daemon's socket; inits have the id the daemon gave them, as their own key.
const DAEMON: u64 = u64::MAX;

/// Exit codes of the forker.
mod code {
    pub(super) const DONE: i32 = 0;
    pub(super) const SETUP: i32 = 1;
    pub(super) const SYSTEM: i32 = 2;
    pub(super) const PANIC: i32 = 70;
}

/// Is the forker until it ends. A panic must not unwind into the code of the daemon that was
/// copied with the process, so it ends here, too.
pub(super) fn run(child: &Child, socket: OwnedFd, procfs: OwnedFd, daemon: Pid) -> ! {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        if let Err((call, errno)) = set_up(child, &socket, &procfs, daemon) {
            let message = FromForker::SetupFailed { call, errno };
            let _unreported = ipc::send(socket.as_fd(), &message, &[], Wait::Block);
            return code::SETUP;
        }
        match Forking::new(socket, procfs) {
            Ok(mut forking) => forking.serve(),
            Err(_) => code::SYSTEM,
        }
    }));
    process::exit(outcome.unwrap_or(code::PANIC))
}

/// From a copy of the daemon to a process with nothing of it.
fn set_up(child: &Child, socket: &OwnedFd, procfs: &OwnedFd, daemon: Pid) -> Result<(), Failure> {
    let failed = |call: &'static str| move |e: Errno| (call.to_owned(), e.raw_os_error());
    let sys = |e: northstar_sys::Error| (e.to_string(), e.errno());

    rustix::thread::set_name(NAME).map_err(failed("set the name"))?;

    // The forker has every privilege and is the parent of every init: nobody reads its memory.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(failed("forbid tracing"))?;

    // Without the daemon there is nobody who knows the containers. The signal comes when the
    // daemon dies from now on; if it died before, the parent is another process already.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(failed("set the parent-death signal"))?;
    if rustix::process::getppid() != Some(daemon) {
        return Err((
            "find the daemon alive".to_owned(),
            Errno::SRCH.raw_os_error(),
        ));
    }

    // What a terminal or a supervisor sends to the daemon's process group is for the daemon: it
    // stops the containers in order, which needs a forker.
    rustix::process::setsid().map_err(failed("setsid"))?;
    signal::reset().map_err(sys)?;
    for number in [
        Signal::TERM,
        Signal::INT,
        Signal::HUP,
        Signal::QUIT,
        Signal::PIPE,
    ] {
        signal::ignore(number.as_raw()).map_err(sys)?;
    }

    // Whoever may trace an init reads its memory. What operators hand to the daemon there is not for containers.
    process::forget_environment(child);

    // Every descriptor of the daemon would otherwise live on in every init.
    fd::close_all_except(child, &[socket.as_fd(), procfs.as_fd()]).map_err(sys)?;

    // Nothing of the host is left then: neither descriptors nor mounts.
    null::standard_streams().map_err(sys)?;
    stage::enter()
}

struct Forking {
    socket: OwnedFd,
    procfs: OwnedFd,
    /// The forker itself: how its inits see that it died.
    pidfd: OwnedFd,
    epoll: OwnedFd,
    inits: BTreeMap<u64, OwnedFd>,
}

/// Why the forker ends.
enum End {
    /// The daemon closed its end.
    DaemonGone,
    /// A call that cannot fail did.
    System,
}

impl Forking {
    fn new(socket: OwnedFd, procfs: OwnedFd) -> Result<Forking, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &socket,
            epoll::EventData::new_u64(DAEMON),
            epoll::EventFlags::IN,
        )?;
        let pidfd = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
        Ok(Forking {
            socket,
            procfs,
            pidfd,
            epoll,
            inits: BTreeMap::new(),
        })
    }

    fn serve(&mut self) -> i32 {
        let code = match self.send(&FromForker::Ready, &[]) {
            Ok(()) => match self.watch() {
                End::DaemonGone => code::DONE,
                End::System => code::SYSTEM,
            },
            Err(_) => code::SYSTEM,
        };
        self.kill_all();
        code
    }

    fn watch(&mut self) -> End {
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            let buffer = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, buffer, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return End::System,
            }
            for event in &events {
                let outcome = match event.data.u64() {
                    DAEMON => self.take_request(),
                    id => self.reap(id),
                };
                if let Err(end) = outcome {
                    return end;
                }
            }
        }
    }

    fn take_request(&mut self) -> Result<(), End> {
        match ipc::receive(self.socket.as_fd(), Wait::Never) {
            Ok(Some((
                ToForker::Create {
                    id,
                    descriptors,
                    cgroup,
                },
                received,
            ))) => match self.create(id, usize::from(descriptors), cgroup, received) {
                Ok((pid, pidfd)) => {
                    self.send(&FromForker::Created { id, pid }, &[pidfd.as_fd()])?;
                    self.inits.insert(id, pidfd);
                    Ok(())
                }
                Err(error) => self.send(&FromForker::CreateFailed { id, error }, &[]),
            },
            Ok(Some((ToForker::Ping(number), _))) => self.send(&FromForker::Alive(number), &[]),
            Ok(None) => Ok(()),
            // One bad message is no reason to end every container.
            Err(
                ReceiveError::Malformed(_)
                | ReceiveError::Descriptors { .. }
                | ReceiveError::DescriptorsLost
                | ReceiveError::UnaskedFailure,
            ) => Ok(()),
            Err(ReceiveError::System(error)) if error.errno() == MESSAGE_TOO_LONG => Ok(()),
            Err(ReceiveError::Closed) => Err(End::DaemonGone),
            Err(ReceiveError::System(_)) => Err(End::System),
        }
    }

    fn create(
        &self,
        id: u64,
        count: usize,
        cgroup: bool,
        received: ipc::Descriptors,
    ) -> Result<(i32, OwnedFd), StepError> {
        let lost = || StepError::new(Step::Clone, NO_DESCRIPTOR, "descriptors of the plan");
        let received = received.ok_or_else(lost)?;
        if id == DAEMON || self.inits.contains_key(&id) {
            return Err(StepError::new(
                Step::Clone,
                Errno::EXIST.raw_os_error(),
                id.to_string(),
            ));
        }
        let mut received = received.into_iter().peekable();
        let (Some(control), Some(plan)) = (received.next(), received.next()) else {
            return Err(StepError::new(
                Step::Clone,
                Errno::BADMSG.raw_os_error(),
                "",
            ));
        };
        let cgroup = received.next_if(|_| cgroup);
        let descriptors = received.collect::<Vec<_>>();
        if descriptors.len() != count {
            return Err(StepError::new(
                Step::Clone,
                Errno::BADMSG.raw_os_error(),
                "",
            ));
        }
        let forker = rustix::io::fcntl_dupfd_cloexec(&self.pidfd, 3).at(Step::Clone)?;

        let group = cgroup.as_ref().map(AsFd::as_fd);
        let fork = process::fork_into(self.procfs.as_fd(), PidNamespace::New, group);
        match fork.at(Step::Clone)? {
            Fork::Child(child) => init::run(
                &child,
                init::Start {
                    control,
                    plan,
                    descriptors,
                    forker,
                },
            ),
            Fork::Parent { pid, pidfd } => {
                let data = epoll::EventData::new_u64(id);
                let watched = epoll::add(&self.epoll, &pidfd, data, epoll::EventFlags::IN);
                if let Err(error) = watched {
                    kill_and_reap(pidfd.as_fd());
                    return Err(StepError::new(Step::Clone, error.raw_os_error(), ""));
                }
                Ok((pid, pidfd))
            }
        }
    }

    fn reap(&mut self, id: u64) -> Result<(), End> {
        let Some(pidfd) = self.inits.remove(&id) else {
            return Ok(());
        };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options) {
            Ok(Some(status)) => {
                // Closing alone does not do it as long as init had a copy of this descriptor.
                let _gone = epoll::delete(&self.epoll, &pidfd);
                // Whoever hears of the end may count on nothing being left.
                drop(pidfd);
                self.send(
                    &FromForker::Exited {
                        id,
                        status: exit_status(&status),
                    },
                    &[],
                )
            }
            Ok(None) => {
                self.inits.insert(id, pidfd);
                Ok(())
            }
            Err(_) => Err(End::System),
        }
    }

    /// Waits while the daemon is slow: a lost exit would leave a container running for ever in
    /// the daemon's books. A daemon that died ends the wait.
    fn send(&self, message: &FromForker, descriptors: &[BorrowedFd<'_>]) -> Result<(), End> {
        match ipc::send(self.socket.as_fd(), message, descriptors, Wait::Block) {
            Ok(()) => Ok(()),
            Err(SendError::Closed) => Err(End::DaemonGone),
            Err(_) => Err(End::System),
        }
    }

    fn kill_all(&mut self) {
        for pidfd in self.inits.values() {
            let _gone = process::pidfd_send_signal(pidfd.as_fd(), Signal::KILL.as_raw());
        }
        for pidfd in std::mem::take(&mut self.inits).into_values() {
            kill_and_reap(pidfd.as_fd());
        }
    }
}

const NO_DESCRIPTOR: i32 = Errno::MFILE.raw_os_error();
const MESSAGE_TOO_LONG: i32 = Errno::MSGSIZE.raw_os_error();

fn kill_and_reap(pidfd: BorrowedFd<'_>) {
    let _gone = process::pidfd_send_signal(pidfd, Signal::KILL.as_raw());
    let _reaped = rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED);
}

fn exit_status(status: &WaitIdStatus) -> ExitStatus {
    match status.terminating_signal() {
        Some(signal) => ExitStatus::Signal(signal),
        None => ExitStatus::Code(status.exit_status().unwrap_or(0)),
    }
}
