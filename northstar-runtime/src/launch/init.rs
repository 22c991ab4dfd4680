//! One init, from its creation to its end.

use super::{
    Error, Phase,
    ready::{Guard, Ready},
};
use crate::supervisor::ExitStatus;
use northstar_sandbox::{Control, ForkerEvent, InitEvent, ReceiveError, SendError, plan::ExecPlan};
use rustix::process::{Signal, pidfd_send_signal};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};
use tokio::{
    io::Interest,
    sync::{Mutex, mpsc},
    time::timeout,
};
use tracing::{error, warn};

/// How long the end of an init may take after it was killed.
const DEATH_TIME: Duration = Duration::from_secs(5);
/// How long after its death the forker may take to say how it ended.
const REPORT_TIME: Duration = Duration::from_secs(1);
/// How many signals that did not reach the program are logged: what init tells of them is the word of a process that a
/// hostile program may have taken over.
const LOGGED_SIGNALS: u32 = 3;

/// Pid 1 of a container. Dropping it kills the whole container.
#[derive(Debug)]
pub(crate) struct Init {
    pid: i32,
    pidfd: Ready<OwnedFd>,
    control: Ready<Control>,
    /// What the forker says about it. Locked by whoever waits for the end.
    forker: Mutex<mpsc::UnboundedReceiver<ForkerEvent>>,
    /// How many signals did not reach the program.
    failed_signals: AtomicU32,
    /// It ended without a word about the program.
    silent: AtomicBool,
}

impl Init {
    pub(super) fn new(
        pid: i32,
        pidfd: OwnedFd,
        control: Control,
        forker: mpsc::UnboundedReceiver<ForkerEvent>,
    ) -> Result<Init, Error> {
        let registered = || {
            let control = Ready::new(control, Interest::READABLE)?;
            // A pidfd is only ever read-ready: its process has ended (pidfd_open(2)).
            let pidfd = Ready::new(pidfd, Interest::READABLE)?;
            Ok(Init {
                pid,
                pidfd,
                control,
                forker: Mutex::new(forker),
                failed_signals: AtomicU32::new(0),
                silent: AtomicBool::new(false),
            })
        };
        registered().map_err(Error::Watch)
    }

    /// Process id on the host.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until init is armed.
    pub(super) async fn armed(&self) -> Result<(), Error> {
        match self.expect(Phase::Arm).await? {
            InitEvent::Armed => Ok(()),
            InitEvent::Failed(error) => Err(Error::Step(error)),
            InitEvent::Running { .. } | InitEvent::Exited(_) | InitEvent::SignalFailed { .. } => {
                Err(Error::Protocol { phase: Phase::Arm })
            }
        }
    }

    /// Lets the program start and waits until its `execve` has happened.
    ///
    /// Before that init joins the control groups of version 1 whose files `tasks` are given.
    pub(super) async fn go(
        &self,
        plan: &ExecPlan,
        descriptors: &[OwnedFd],
        tasks: &[OwnedFd],
    ) -> Result<(), Error> {
        let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        let tasks: Vec<BorrowedFd<'_>> = tasks.iter().map(AsFd::as_fd).collect();
        let sent = self.control.get().go(plan, &descriptors, &tasks);
        sent.map_err(|source| Error::Send {
            phase: Phase::Go,
            source,
        })?;
        match self.expect(Phase::Go).await? {
            InitEvent::Running { .. } => Ok(()),
            InitEvent::Failed(error) => Err(Error::Step(error)),
            InitEvent::Armed | InitEvent::Exited(_) | InitEvent::SignalFailed { .. } => {
                Err(Error::Protocol { phase: Phase::Go })
            }
        }
    }

    async fn expect(&self, phase: Phase) -> Result<InitEvent, Error> {
        self.event().await.map_err(|source| match source {
            ReceiveError::Closed => Error::InitDied { phase },
            source => Error::Receive { phase, source },
        })
    }

    /// The next word of init that is not about a signal.
    async fn event(&self) -> Result<InitEvent, ReceiveError> {
        loop {
            let mut ready = match self.control.readable().await {
                Ok(ready) => ready,
                // The runtime shuts down.
                Err(_) => return Err(ReceiveError::Closed),
            };
            match self.control.get().receive()? {
                Some(InitEvent::SignalFailed { signal, errno }) => {
                    self.signal_failed(signal, errno)
                }
                Some(event) => return Ok(event),
                None => ready.clear(),
            }
        }
    }

    /// Sends a signal to the process group of the program. SIGKILL ends the whole container instead: nothing in it can
    /// survive that.
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        if signal == Signal::KILL.as_raw() {
            return self.kill();
        }
        self.control
            .get()
            .signal(signal)
            .map_err(|error| match error {
                SendError::Closed => io::Error::from_raw_os_error(nix::libc::ESRCH),
                SendError::Full => io::Error::from_raw_os_error(nix::libc::EAGAIN),
                other => io::Error::other(other),
            })
    }

    /// Ends the whole container.
    pub(crate) fn kill(&self) -> io::Result<()> {
        Ok(pidfd_send_signal(self.pidfd.get(), Signal::KILL)?)
    }

    /// After a failure: kills the container and waits for its end, so that its control group can be removed. Hands the
    /// failure back.
    pub(super) async fn fail(self, first: Error) -> Error {
        // ESRCH: it is dead already.
        let _ = self.kill();
        if timeout(DEATH_TIME, self.death()).await.is_err() {
            error!("init {} does not die", self.pid);
        }
        first
    }

    /// Waits for the end of the program and then of the whole container, and tells how the program ended.
    ///
    /// Whatever init says or does not say, what counts is that its process has ended.
    pub(crate) async fn end(&self) -> ExitStatus {
        let told = tokio::select! {
            event = self.event() => match event {
                Ok(InitEvent::Exited(status)) => Some(status.into()),
                // Init is gone, or does not follow the protocol: then it is not to be trusted with its end either.
                _ => {
                    let _ = self.kill();
                    None
                }
            },
            // Its last word may still be in the socket.
            () = self.death() => self.last_word(),
        };
        if timeout(DEATH_TIME, self.death()).await.is_err() {
            let _ = self.kill();
            self.death().await;
        }
        match told {
            Some(status) => status,
            None => {
                self.silent.store(true, Ordering::Relaxed);
                self.status().await
            }
        }
    }

    /// Whether it ended without a word about the program, so that the status is init's own.
    pub(super) fn was_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    fn last_word(&self) -> Option<ExitStatus> {
        loop {
            match self.control.get().receive() {
                Ok(Some(InitEvent::Exited(status))) => return Some(status.into()),
                // Comes before it, and not more often than signals were sent.
                Ok(Some(InitEvent::SignalFailed { signal, errno })) => {
                    self.signal_failed(signal, errno)
                }
                _ => return None,
            }
        }
    }

    /// Logs the first few.
    fn signal_failed(&self, signal: i32, errno: i32) {
        let before = self.failed_signals.fetch_add(1, Ordering::Relaxed);
        if before < LOGGED_SIGNALS {
            let error = io::Error::from_raw_os_error(errno);
            warn!(
                "signal {signal} did not reach the program of init {}: {error}",
                self.pid
            );
        }
    }

    /// How init itself ended, according to the forker. A forker that is dead cannot say it, but then it was by SIGKILL:
    /// that is the parent-death signal.
    async fn status(&self) -> ExitStatus {
        let mut forker = self.forker.lock().await;
        match timeout(REPORT_TIME, forker.recv()).await {
            Ok(Some(ForkerEvent::Exited { status, .. })) => status.into(),
            _ => ExitStatus::Signalled(Signal::KILL.as_raw()),
        }
    }

    async fn death(&self) {
        // The readiness is never cleared: a process ends once. An error means that the runtime shuts down.
        let _ = self.pidfd.readable().await;
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        // Closing the control socket asks init to go; this does not ask.
        let _ = self.kill();
    }
}

impl From<northstar_sandbox::ExitStatus> for ExitStatus {
    fn from(status: northstar_sandbox::ExitStatus) -> ExitStatus {
        match status {
            northstar_sandbox::ExitStatus::Code(code) => ExitStatus::Exit(code),
            northstar_sandbox::ExitStatus::Signal(signal) => ExitStatus::Signalled(signal),
        }
    }
}
