//! A running container: how others reach it, and what happens when it ends.

use super::{
    Context,
    confine::Group,
    guards::Guards,
    init::Init,
    ready::{Guard, Ready},
};
use crate::{
    repository::InstalledPackage,
    supervisor::{ExitStatus, MemoryEvents, Statistics, report},
};
use northstar_sandbox::cgroup::{self, MemoryMonitor};
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{io::Interest, net::UnixStream, task::AbortHandle, time::sleep};
use tracing::warn;

/// A container whose program runs. It has to be watched.
#[derive(Debug)]
pub(crate) struct Running {
    pub(super) context: Arc<Context>,
    pub(super) package: Arc<InstalledPackage>,
    pub(super) skipped: Vec<String>,
    pub(super) init: Arc<Init>,
    pub(super) guards: Guards,
}

/// A running container as the supervisor holds it.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    init: Arc<Init>,
    group: Arc<Group>,
    started: Instant,
}

/// What a running container tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The kernel counted memory events.
    Memory(MemoryEvents),
    /// All its processes are dead; the clean-up begins.
    Ended(ExitStatus),
    /// Nothing of it is left.
    CleanedUp,
}

impl Running {
    /// What the supervisor holds of it.
    pub(crate) fn process(&self) -> Process {
        Process {
            init: Arc::clone(&self.init),
            group: Arc::clone(&self.guards.group),
            started: Instant::now(),
        }
    }

    /// What was left out because it is missing on the host.
    pub(crate) fn skipped(&self) -> Vec<String> {
        self.skipped.clone()
    }

    /// Follows the container to its end and cleans up behind it.
    pub(crate) async fn watch(mut self, tell: impl Fn(Report)) {
        let console = self.serve_console();
        let container = &self.package.container;
        let mut memory = Memory::new(self.guards.memory.take());
        let end = self.init.end();
        tokio::pin!(end);
        let status = loop {
            tokio::select! {
                status = &mut end => break status,
                events = memory.changed() => tell(Report::Memory(events)),
            }
        };
        // The kernel may count a kill only after it has notified.
        if let Some(events) = memory.now() {
            tell(Report::Memory(events));
        }
        tell(Report::Ended(status));
        if let Some(console) = console {
            console.abort();
        }
        self.guards.release(container).await;
        tell(Report::CleanedUp);
    }

    /// Serves the container's console, if it has one.
    fn serve_console(&mut self) -> Option<AbortHandle> {
        let stream = self.guards.attachments.console.take()?;
        let permissions = self.package.manifest.console.as_ref()?.permissions.clone();
        let container = self.package.container.clone();
        let registered = stream
            .set_nonblocking(true)
            .and_then(|()| UnixStream::from_std(stream));
        let stream = match registered {
            Ok(stream) => stream,
            Err(error) => {
                warn!("console of {container}: {error}");
                return None;
            }
        };
        let context = Arc::clone(&self.context);
        let task = tokio::spawn(async move {
            let options = context.console_options.clone();
            context
                .console
                .serve_container(stream, container, permissions, options)
                .await;
        });
        Some(task.abort_handle())
    }
}

impl Process {
    /// Process id of init on the host.
    pub(crate) fn pid(&self) -> u32 {
        self.init.pid().unsigned_abs()
    }

    /// Time since the start.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// See [`Init::signal`].
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        self.init.signal(signal)
    }

    /// Whether init has ended without a word about the program.
    pub(crate) fn init_was_silent(&self) -> bool {
        self.init.was_silent()
    }

    /// What the container uses now. Blocks for as long as the kernel takes to count.
    pub(crate) fn statistics(&self) -> Statistics {
        self.group.statistics()
    }
}

/// The memory events of a container, if they are watched.
struct Memory {
    monitor: Option<Ready<MemoryMonitor>>,
    last: cgroup::MemoryEvents,
}

impl Memory {
    /// Least time between two reports: a container at its limit changes the counters all the time.
    const PAUSE: Duration = Duration::from_millis(100);

    fn new(monitor: Option<MemoryMonitor>) -> Memory {
        let registered = monitor.map(|monitor| Ready::new(monitor, Interest::READABLE));
        let monitor = registered.transpose().unwrap_or_else(|error| {
            warn!("memory events cannot be watched: {error}");
            None
        });
        Memory {
            monitor,
            last: cgroup::MemoryEvents::default(),
        }
    }

    /// Waits until a counter has changed; for ever if none is watched. Nothing is lost if the future is dropped.
    async fn changed(&mut self) -> MemoryEvents {
        loop {
            let Some(monitor) = &self.monitor else {
                std::future::pending().await
            };
            let readable = monitor.readable().await.map(|mut ready| ready.clear());
            if readable.is_err() {
                self.monitor = None;
            }
            sleep(Memory::PAUSE).await;
            if let Some(events) = self.now() {
                return events;
            }
        }
    }

    /// The counters that have changed since the last call.
    fn now(&mut self) -> Option<MemoryEvents> {
        let events = match self.monitor.as_mut()?.get_mut().read() {
            Ok(Some(events)) => events,
            Ok(None) => {
                self.monitor = None;
                return None;
            }
            Err(error) => {
                warn!("memory events: {}", report(&error));
                self.monitor = None;
                return None;
            }
        };
        let last = std::mem::replace(&mut self.last, events);
        let changed = |last: u64, now: u64| (last != now).then_some(now);
        let changes = MemoryEvents {
            low: changed(last.low, events.low),
            high: changed(last.high, events.high),
            max: changed(last.max, events.max),
            oom: changed(last.oom, events.oom),
            oom_kill: changed(last.oom_kill, events.oom_kill),
        };
        (changes != MemoryEvents::default()).then_some(changes)
    }
}
