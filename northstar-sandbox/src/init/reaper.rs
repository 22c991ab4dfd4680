//! Runs in init, after fork. The payload is forked, the outcome of its execve reported, and then
//! init does what process 1 has to: pass signals on, reap every orphan, tell how it ended.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use northstar_sys::process::{self, Fork, PidNamespace};
use northstar_sys::sched;
use northstar_sys::seqpacket::Wait;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{WaitOptions, WaitStatus};

use super::confine::{self, Authority};
use super::park::Go;
use super::{Armed, code, or_report, read_to_end};
use crate::ipc::{self, ReceiveError};
use crate::message::{ExitStatus, FromInit, ToInit};
use crate::payload::{self, Outcome, Payload};
use crate::step::{At, Step, StepError};

/// Runs the payload to its end and reports it.
pub(super) fn run_payload(control: OwnedFd, armed: Armed, go: Go) -> ! {
    let Armed { procfs, user } = armed;

    // Scheduling: up to here init has worked for the daemon, with its priority. A payload may make
    // init do what it wants. Before the cgroup, which may not take realtime processes.
    or_report(&control, sched::reset().at(Step::InitScheduler));

    // Cgroup: before the payload exists, so that whatever the container does counts.
    for group in go.cgroups {
        or_report(&control, join(&group).at(Step::Cgroup));
    }

    // Cgroup namespace: after init came into its cgroup, which becomes the root of what the
    // container sees, and before the payload exists.
    if go.plan.cgroup_namespace {
        let unshared = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP);
        or_report(&control, unshared.at(Step::CgroupNamespace));
    }

    // Fork: argv, environment and filters are built before it, in a process that can still fail
    // with a reason. SIGCHLD is blocked before it, too, so that no end of a child is missed.
    let payload = or_report(&control, Payload::prepare(go.plan, go.descriptors));
    let ids = user.as_ref().map(|user| user.ids);
    let authority = or_report(&control, Authority::for_payload(payload.plan(), ids));
    let path = payload.plan().init.display().to_string();
    let children = or_report(&control, block_child_signal().at(Step::Fork));
    let pipe = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).at(Step::Fork);
    let (outcome, report) = or_report(&control, pipe);
    let (gatekeeper, gate) = or_report(&control, payload::gate().at(Step::Fork));
    let fork = process::fork(procfs.as_fd(), PidNamespace::Inherited).at(Step::Fork);
    let pid = match or_report(&control, fork) {
        Fork::Child(_) => {
            // What belongs to init is not for the payload, not even until execve.
            drop((control, outcome, children, gatekeeper));
            let user = user.map(|user| user.handle);
            payload.run(report, procfs, user, gate)
        }
        Fork::Parent { pid, .. } => pid,
    };
    // The container's streams have to end when the payload closes them.
    drop((report, payload, gate, user));

    // Drop init: before the payload executes anything, because a program with CAP_SYS_PTRACE can
    // do whatever init can. What is left is what the rest of this file needs.
    let stat = or_report(&control, open_stat(&procfs, pid).at(Step::DropInit));
    // Early, because the kernel takes its time to dismantle a detached mount with its last handle:
    // payload and init do something else meanwhile.
    drop(procfs);
    or_report(&control, confine::drop_privileges(authority));
    or_report(&control, confine::filter_init());
    or_report(&control, gatekeeper.open().at(Step::DropInit));

    or_report(&control, executed(stat, outcome, pid, path));

    let mut init = Reaper {
        control,
        children,
        authority,
        payload: pid,
        status: None,
    };
    init.report(FromInit::Running { pid });
    init.run()
}

/// Joins a control group of version 1 by its file `tasks`. That a process with one thread moves
/// itself is the one case in which the kernel need not wait until every processor has come around.
fn join(tasks: &OwnedFd) -> Result<(), Errno> {
    match rustix::io::write(tasks, b"0")? {
        1 => Ok(()),
        _ => Err(Errno::IO),
    }
}

/// Waits until the payload has executed its program or failed to.
fn executed(stat: OwnedFd, outcome: OwnedFd, pid: i32, path: String) -> Result<(), StepError> {
    match payload::wait_for_exec(outcome) {
        Outcome::Executed if has_executed(&stat) => Ok(()),
        Outcome::Failed(error) if error.step == Step::Execve => {
            Err(StepError::new(Step::Execve, error.errno, path))
        }
        Outcome::Failed(error) => Err(error),
        Outcome::Executed | Outcome::Died => Err(died_before_exec(pid)),
    }
}

/// The payload ended without a word and without execve: something killed it.
fn died_before_exec(pid: i32) -> StepError {
    let pid = rustix::process::Pid::from_raw(pid);
    let ended = rustix::process::waitpid(pid, WaitOptions::empty());
    let detail = match ended
        .ok()
        .flatten()
        .and_then(|(_, status)| exit_status(status))
    {
        Some(ExitStatus::Signal(signal)) => format!("killed by signal {signal}"),
        Some(ExitStatus::Code(code)) => format!("exited with code {code}"),
        None => String::new(),
    };
    StepError::new(Step::Execve, Errno::INTR.raw_os_error(), detail)
}

fn block_child_signal() -> Result<SignalFd, nix::errno::Errno> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block()?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Opens what [`has_executed`] reads when init can no longer open anything. The kernel writes the
/// content when it is read.
fn open_stat(procfs: &OwnedFd, pid: i32) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let path = format!("{pid}/stat");
    rustix::fs::openat2(procfs, path, flags, Mode::empty(), ResolveFlags::BENEATH)
}

/// Whether the kernel has seen the process execute something. The report pipe also closes when
/// the process is killed between its last word and execve.
fn has_executed(stat: &OwnedFd) -> bool {
    /// `PF_FORKNOEXEC` of `include/linux/sched.h`: forked, and nothing executed since.
    const FORKED_BUT_NOT_EXECUTED: u64 = 0x40;
    // pid (comm) state ppid pgrp session tty_nr tpgid flags: the seventh field after the name,
    // which may itself contain anything.
    let flags = read_to_end(stat).ok().and_then(|stat| {
        let after_name = stat.rsplit(|byte| *byte == b')').next()?;
        std::str::from_utf8(after_name)
            .ok()?
            .split_ascii_whitespace()
            .nth(6)?
            .parse::<u64>()
            .ok()
    });
    flags.is_some_and(|flags| flags & FORKED_BUT_NOT_EXECUTED == 0)
}

struct Reaper {
    control: OwnedFd,
    children: SignalFd,
    authority: Authority,
    /// The payload, also the id of its process group.
    payload: i32,
    status: Option<ExitStatus>,
}

impl Reaper {
    fn run(&mut self) -> ! {
        loop {
            self.reap();
            if let Some(status) = self.status {
                self.report(FromInit::Exited(status));
                process::exit(code::DONE);
            }
            self.wait();
        }
    }

    /// Waits for a message or a dead child, and takes the messages.
    fn wait(&mut self) {
        let mut descriptors = [
            PollFd::new(&self.control, PollFlags::IN),
            PollFd::new(&self.children, PollFlags::IN),
        ];
        match rustix::event::poll(&mut descriptors, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => process::exit(code::FAILED),
        }
        let [control, children] = descriptors.map(|descriptor| !descriptor.revents().is_empty());
        if children {
            // What the signals say is in wait(2), too, and more reliably: they only wake.
            while let Ok(Some(_)) = self.children.read_signal() {}
        }
        if control {
            self.take_message();
        }
    }

    fn take_message(&mut self) {
        match ipc::receive(self.control.as_fd(), Wait::Never) {
            Ok(Some((ToInit::Signal(signal), _))) => {
                let sent = confine::signal_group(self.payload, signal, self.authority);
                if let Err(error) = sent {
                    self.report(FromInit::SignalFailed {
                        signal,
                        errno: error.raw_os_error(),
                    });
                }
            }
            Ok(None) => {}
            // A second payload is not possible; the daemon does not ask for one.
            Ok(Some((ToInit::Go { .. }, _))) => {}
            // The daemon gave this container up.
            Err(ReceiveError::Closed) => process::exit(code::DONE),
            Err(_) => process::exit(code::FAILED),
        }
    }

    /// Reaps everything that ended, orphans of the container included.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if pid.as_raw_nonzero().get() == self.payload {
                self.status = exit_status(status).or(self.status);
            }
        }
    }

    fn report(&self, message: FromInit) {
        if ipc::send(self.control.as_fd(), &message, &[], Wait::Block).is_err() {
            process::exit(code::FAILED);
        }
    }
}

fn exit_status(status: WaitStatus) -> Option<ExitStatus> {
    let signal = status.terminating_signal().map(ExitStatus::Signal);
    signal.or_else(|| status.exit_status().map(ExitStatus::Code))
}
