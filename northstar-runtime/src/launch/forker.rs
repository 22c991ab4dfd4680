//! The forker as asynchronous code sees it: requests from many launches, events sorted to the launch they belong to.

use super::{
    Error, Phase,
    init::Init,
    ready::{Guard, Ready},
};
use northstar_sandbox::{Control, ForkerEvent, ReceiveError, SendError, plan::ArmPlan};
use rustix::process::{Signal, pidfd_send_signal};
use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::Interest,
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

/// How often the forker is asked for a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Heartbeats without an answer after which the forker counts as dead.
const MISSED_HEARTBEATS: u64 = 5;

/// The daemon's end of the conversation with the forker.
#[derive(Debug)]
pub(crate) struct Forker {
    socket: Ready<northstar_sandbox::Forker>,
    /// Whom the events about an id are for.
    launches: Mutex<HashMap<u64, mpsc::UnboundedSender<ForkerEvent>>>,
    next: AtomicU64,
    last_sign_of_life: AtomicU64,
}

/// Why the forker is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForkerError {
    /// It is gone or sends nonsense.
    #[error("the forker is gone")]
    Receive(#[from] ReceiveError),
    /// It does not answer.
    #[error("the forker gave no sign of life for {0:?}")]
    Silent(Duration),
    /// Its socket cannot be waited for.
    #[error("socket of the forker")]
    Wait(#[from] io::Error),
}

impl Forker {
    /// Must be called within the tokio runtime.
    pub(crate) fn new(forker: northstar_sandbox::Forker) -> io::Result<Forker> {
        Ok(Forker {
            socket: Ready::new(forker, Interest::READABLE | Interest::WRITABLE)?,
            launches: Mutex::default(),
            next: AtomicU64::new(1),
            last_sign_of_life: AtomicU64::new(0),
        })
    }

    /// Creates an init, in the control group of version 2 whose directory is `cgroup`, and returns once it exists.
    pub(crate) async fn create(
        &self,
        plan: &ArmPlan,
        descriptors: &[OwnedFd],
        cgroup: Option<&OwnedFd>,
    ) -> Result<Init, Error> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, mut events) = mpsc::unbounded_channel();
        self.launches().insert(id, sender);
        let created = async {
            let control = self.send(id, plan, descriptors, cgroup).await?;
            match events.recv().await {
                Some(ForkerEvent::Created { pid, pidfd, .. }) => {
                    Init::new(pid, pidfd, control, events)
                }
                Some(ForkerEvent::CreateFailed { error, .. }) => Err(Error::Step(error)),
                Some(ForkerEvent::Exited { .. }) => Err(Error::InitDied {
                    phase: Phase::Create,
                }),
                Some(ForkerEvent::Alive { .. }) | None => Err(Error::ForkerGone),
            }
        };
        let created = created.await;
        if created.is_err() {
            self.launches().remove(&id);
        }
        created
    }

    async fn send(
        &self,
        id: u64,
        plan: &ArmPlan,
        descriptors: &[OwnedFd],
        cgroup: Option<&OwnedFd>,
    ) -> Result<Control, Error> {
        let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        loop {
            let cgroup = cgroup.map(AsFd::as_fd);
            match self.socket.get().create(id, plan, &descriptors, cgroup) {
                Ok(control) => return Ok(control),
                Err(SendError::Full) => {
                    let mut ready = self
                        .socket
                        .writable()
                        .await
                        .map_err(|_| Error::ForkerGone)?;
                    ready.clear();
                }
                Err(SendError::Closed) => return Err(Error::ForkerGone),
                Err(source) => {
                    return Err(Error::Send {
                        phase: Phase::Create,
                        source,
                    });
                }
            }
        }
    }

    /// Sorts the forker's events to their launches until the forker is of no use any more. Then every launch that
    /// waits for it is told so.
    pub(crate) async fn serve(&self) -> ForkerError {
        let error = tokio::select! {
            error = self.receive() => error,
            error = self.watch() => error,
        };
        self.launches().clear();
        error
    }

    async fn receive(&self) -> ForkerError {
        loop {
            let mut ready = match self.socket.readable().await {
                Ok(ready) => ready,
                Err(error) => return error.into(),
            };
            match self.socket.get().receive() {
                Ok(Some(event)) => self.sort(event),
                Ok(None) => ready.clear(),
                Err(error) => return error.into(),
            }
        }
    }

    fn sort(&self, event: ForkerEvent) {
        let (id, last) = match &event {
            ForkerEvent::Created { id, .. } => (*id, false),
            ForkerEvent::CreateFailed { id, .. } | ForkerEvent::Exited { id, .. } => (*id, true),
            ForkerEvent::Alive { number } => {
                return self.last_sign_of_life.store(*number, Ordering::Relaxed);
            }
        };
        let mut launches = self.launches();
        if let Some(launch) = launches.get(&id) {
            // A launch that was given up has dropped its end, and with it the init.
            let _ = launch.send(event);
        }
        if last {
            launches.remove(&id);
        }
    }

    async fn watch(&self) -> ForkerError {
        let mut ticks = interval(HEARTBEAT);
        // After the machine was suspended the forker gets as many chances as always.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 1_u64.. {
            ticks.tick().await;
            let silence = number.saturating_sub(self.last_sign_of_life.load(Ordering::Relaxed));
            if silence > MISSED_HEARTBEATS {
                return ForkerError::Silent(HEARTBEAT * u32::try_from(silence).unwrap_or(u32::MAX));
            }
            // A full socket is no sign of life, and a closed one is noticed by the reader.
            let _ = self.socket.get().ping(number);
        }
        std::future::pending().await
    }

    /// Ends the forker and with it all containers.
    pub(crate) fn kill(&self) {
        // An error means that it is dead already.
        let _ = pidfd_send_signal(self.socket.get().pidfd(), Signal::KILL);
    }

    fn launches(&self) -> MutexGuard<'_, HashMap<u64, mpsc::UnboundedSender<ForkerEvent>>> {
        // Nothing panics while it holds the lock.
        self.launches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for `future` at most as long as one phase of a launch may take.
pub(super) async fn within<T>(
    phase: Phase,
    limit: Duration,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(limit, future)
        .await
        .unwrap_or(Err(Error::Timeout { phase, limit }))
}
