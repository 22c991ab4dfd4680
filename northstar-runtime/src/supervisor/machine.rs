//! The state machine: requests and outcomes in, work and answers out. No clock, no I/O, no await.
//!
//! The machine decides by [`admission`], changes the [`Registry`], and orders long work from its [`Workshop`], which
//! reports each piece of work back as exactly one [`Outcome`]. Requests that have to wait are kept in the order of their
//! arrival and decided anew after each outcome.

use super::{
    Error, Event, ExitStatus, Inspection, StartOverrides,
    admission::{self, Ask, Decision},
    command::{Reply, Wipe},
    registry::{AfterUnmount, Entry, Facts, Image, Parts, Registry, Run, Start},
};
use crate::launch;
use northstar_manifest::Container;
use std::{collections::VecDeque, io, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Does what takes time. No method waits; what is begun ends in one outcome.
pub(super) trait Workshop: Parts {
    /// Ends in [`Outcome::Mounted`].
    fn mount(&mut self, container: &Container, package: &Self::Package);
    /// Ends in [`Outcome::Unmounted`].
    fn unmount(&mut self, container: &Container, image: Self::Image);
    /// Ends in [`Outcome::Launched`], early if `cancel` fires, and if that is a success later in [`Outcome::Ended`] and
    /// then [`Outcome::CleanedUp`].
    fn launch(&mut self, job: Job<'_, Self>);
    /// Sends a signal to a running container.
    fn signal(&mut self, process: &Self::Process, signal: i32) -> io::Result<()>;
    /// Ends in [`Outcome::Removed`].
    fn remove(&mut self, container: &Container, package: Self::Package, wipe: Wipe);
    /// Ends in [`Outcome::Committed`].
    fn commit(&mut self, container: &Container, staged: Self::Staged);
    /// What `inspect` answers, apart from the numbers of the running process.
    fn describe(&self, entry: &Entry<Self>) -> Inspection
    where
        Self: Sized;
    /// Adds the numbers of the running process and answers.
    fn measure(
        &mut self,
        process: &Self::Process,
        inspection: Inspection,
        reply: Reply<Result<Inspection, Error>>,
    );
    /// Tells everybody.
    fn publish(&mut self, event: Event);
}

/// What a launch needs to know.
#[derive(Debug)]
pub(super) struct Job<'a, T: Parts + ?Sized> {
    pub(super) container: &'a Container,
    pub(super) package: &'a T::Package,
    pub(super) image: &'a T::Image,
    /// The images of the needs, in their order.
    pub(super) resources: Vec<&'a T::Image>,
    pub(super) overrides: StartOverrides,
    /// Fires when the daemon shuts down.
    pub(super) cancel: CancellationToken,
}

/// The end of a piece of work.
#[derive(Debug)]
pub(super) enum Outcome<T: Parts> {
    Mounted(Container, Result<T::Image, Arc<crate::storage::MountError>>),
    Unmounted(Container, Result<(), UnmountFailure<T>>),
    Launched(Container, Result<Launched<T>, Arc<launch::Error>>),
    /// The container is dead. Its clean-up has begun.
    Ended(Container, ExitStatus),
    /// Nothing of the run is left.
    CleanedUp(Container),
    Removed(
        Container,
        Result<Removal, Arc<crate::repository::RemoveError>>,
    ),
    Committed(Container, Result<(T::Package, Facts), Error>),
    /// The kernel reported memory pressure.
    Memory(Container, super::MemoryEvents),
}

/// A successful launch.
#[derive(Debug)]
pub(super) struct Launched<T: Parts> {
    pub(super) process: T::Process,
    /// What was left out because the repository says so.
    pub(super) skipped: Vec<String>,
}

/// A failed umount.
#[derive(Debug)]
pub(super) enum UnmountFailure<T: Parts> {
    /// Somebody on the host uses the mount: it is as it was.
    Busy(T::Image),
    /// It is gone from the daemon's sight, but something is left.
    Incomplete(Arc<crate::storage::UnmountError>),
}

/// What a removal came to.
#[derive(Debug)]
pub(super) enum Removal {
    /// All that was asked for is gone.
    Complete,
    /// The package is gone, the data is not.
    DataLeft(Arc<io::Error>),
}

/// A request with where its answer goes.
#[derive(Debug)]
pub(super) enum Request<T: Parts> {
    Mount(Container, Reply<Result<(), Error>>),
    Umount(Container, Reply<Result<(), Error>>),
    Start(Container, StartOverrides, Reply<Result<(), Error>>),
    Kill(Container, i32, Reply<Result<(), Error>>),
    Uninstall(Container, Wipe, Reply<Result<(), Error>>),
    Commit(Container, T::Staged, Reply<Result<Container, Error>>),
}

impl<T: Parts> Request<T> {
    fn ask(&self) -> Ask<'_> {
        match self {
            Request::Mount(container, _) => Ask::Mount(container),
            Request::Umount(container, _) => Ask::Umount(container),
            Request::Start(container, overrides, _) => Ask::Start(container, overrides),
            Request::Kill(container, signal, _) => Ask::Kill(container, *signal),
            Request::Uninstall(container, wipe, _) => Ask::Uninstall(container, *wipe),
            Request::Commit(container, ..) => Ask::Commit(container),
        }
    }

    fn deny(self, error: Error) {
        match self {
            Request::Mount(_, reply)
            | Request::Umount(_, reply)
            | Request::Start(_, _, reply)
            | Request::Kill(_, _, reply)
            | Request::Uninstall(_, _, reply) => answer(reply, Err(error)),
            Request::Commit(_, _, reply) => answer(reply, Err(error)),
        }
    }
}

/// Gives the one answer. That nobody waits for it any more is none of the supervisor's business.
pub(super) fn answer<A>(reply: Reply<A>, answer: A) {
    let _ = reply.send(answer);
}

/// All state of the supervisor.
#[derive(Debug)]
pub(super) struct Machine<W: Workshop> {
    pub(super) registry: Registry<W>,
    pub(super) workshop: W,
    waiting: VecDeque<Request<W>>,
    /// No more work is taken; what rests is taken down.
    closing: bool,
    /// A critical container that ended badly.
    critical: Option<(Container, ExitStatus)>,
}

impl<W: Workshop> Machine<W> {
    pub(super) fn new(workshop: W) -> Machine<W> {
        Machine {
            registry: Registry::default(),
            workshop,
            waiting: VecDeque::new(),
            closing: false,
            critical: None,
        }
    }

    /// A critical container that ended badly since the last call.
    pub(super) fn take_critical(&mut self) -> Option<(Container, ExitStatus)> {
        self.critical.take()
    }

    pub(super) fn inspect(
        &mut self,
        container: &Container,
        reply: Reply<Result<Inspection, Error>>,
    ) {
        let Some(entry) = self.registry.get(container) else {
            return answer(
                reply,
                Err(Error::InvalidContainer {
                    container: container.clone(),
                }),
            );
        };
        let inspection = self.workshop.describe(entry);
        match &entry.run {
            Run::Running { process, .. } => self.workshop.measure(process, inspection, reply),
            _ => answer(reply, Ok(inspection)),
        }
    }

    /// Takes a request: answers it, begins it, or keeps it until a transition has ended.
    pub(super) fn request(&mut self, request: Request<W>) {
        if self.closing {
            return request.deny(Error::ShuttingDown);
        }
        if let Some(request) = self.try_now(request) {
            self.waiting.push_back(request);
        }
    }

    /// Begins or answers the request, or hands it back if it has to wait.
    fn try_now(&mut self, request: Request<W>) -> Option<Request<W>> {
        match admission::decide(&self.registry, request.ask()) {
            Decision::Wait => return Some(request),
            Decision::Denied(error) => request.deny(error),
            Decision::Accept => self.begin(request),
        }
        None
    }

    fn begin(&mut self, request: Request<W>) {
        match request {
            Request::Mount(container, reply) => self.begin_mount(&container, Some(reply)),
            Request::Umount(container, reply) => {
                self.begin_unmount(&container, AfterUnmount::Rest { reply: Some(reply) });
            }
            Request::Start(container, overrides, reply) => {
                self.begin_start(&container, overrides, reply);
            }
            Request::Kill(container, signal, reply) => self.kill(container, signal, reply),
            Request::Uninstall(container, wipe, reply) => {
                self.begin_uninstall(&container, wipe, reply);
            }
            Request::Commit(container, staged, reply) => {
                self.registry.begin_commit(container.clone(), reply);
                self.workshop.commit(&container, staged);
            }
        }
    }

    fn begin_mount(&mut self, container: &Container, reply: Option<Reply<Result<(), Error>>>) {
        if let Some(entry) = self.registry.get_mut(container) {
            entry.image = Image::Mounting { reply };
            self.workshop.mount(container, &entry.package);
        }
    }

    fn begin_unmount(&mut self, container: &Container, after: AfterUnmount) {
        if let Some(entry) = self.registry.get_mut(container)
            && let Some(image) = entry.image.take_mounted()
        {
            entry.image = Image::Unmounting(after);
            self.workshop.unmount(container, image);
        }
    }

    fn begin_uninstall(
        &mut self,
        container: &Container,
        wipe: Wipe,
        reply: Reply<Result<(), Error>>,
    ) {
        let Some(entry) = self.registry.get_mut(container) else {
            return;
        };
        if let Some(image) = entry.image.take_mounted() {
            entry.image = Image::Unmounting(AfterUnmount::Remove { wipe, reply });
            self.workshop.unmount(container, image);
        } else {
            entry.image = Image::Removing { reply };
            self.workshop.remove(container, entry.package.clone(), wipe);
        }
    }

    fn begin_start(
        &mut self,
        container: &Container,
        overrides: StartOverrides,
        reply: Reply<Result<(), Error>>,
    ) {
        let resources = match admission::resources(&self.registry, container) {
            Ok(resources) => resources,
            Err(error) => return answer(reply, Err(error)),
        };
        for image in resources.iter().chain([container]) {
            if matches!(
                self.registry.get(image),
                Some(Entry {
                    image: Image::Installed,
                    ..
                })
            ) {
                self.begin_mount(image, None);
            }
        }
        if let Some(entry) = self.registry.get_mut(container) {
            entry.run = Run::Gathering(Start {
                resources,
                overrides,
                reply,
            });
        }
        self.launch_if_mounted(container);
    }

    /// Goes on with a start once everything it needs is mounted.
    fn launch_if_mounted(&mut self, container: &Container) {
        let Machine {
            registry, workshop, ..
        } = self;
        let Some(Entry {
            run: Run::Gathering(start),
            ..
        }) = registry.get(container)
        else {
            return;
        };
        let mounted = |container| match registry.get(container) {
            Some(Entry {
                image: Image::Mounted(image),
                ..
            }) => Some(image),
            _ => None,
        };
        let images: Option<Vec<_>> = start.resources.iter().map(mounted).collect();
        let (Some(resources), Some(image)) = (images, mounted(container)) else {
            return;
        };
        let Some(entry) = registry.get(container) else {
            return;
        };
        let cancel = CancellationToken::new();
        workshop.launch(Job {
            container,
            package: &entry.package,
            image,
            resources,
            overrides: start.overrides.clone(),
            cancel: cancel.clone(),
        });
        if let Some(entry) = registry.get_mut(container)
            && let Run::Gathering(start) = std::mem::replace(&mut entry.run, Run::Idle)
        {
            let Start {
                resources, reply, ..
            } = start;
            entry.run = Run::Launching {
                resources,
                cancel,
                reply,
            };
        }
    }

    fn kill(&mut self, container: Container, signal: i32, reply: Reply<Result<(), Error>>) {
        let Some(Entry {
            run: Run::Running { process, .. },
            ..
        }) = self.registry.get(&container)
        else {
            return answer(reply, Err(Error::StopContainerNotStarted { container }));
        };
        let result = self.workshop.signal(process, signal).map_err(|source| {
            // The process is gone and its end is about to be noticed.
            if source.raw_os_error() == Some(nix::libc::ESRCH) {
                Error::StopContainerNotStarted { container }
            } else {
                Error::Signal {
                    container,
                    signal,
                    source: Arc::new(source),
                }
            }
        });
        answer(reply, result);
    }

    /// Takes the end of a piece of work, then looks at the requests that waited for it.
    pub(super) fn outcome(&mut self, outcome: Outcome<W>) {
        match outcome {
            Outcome::Mounted(container, result) => self.mounted(&container, result),
            Outcome::Unmounted(container, result) => self.unmounted(&container, result),
            Outcome::Launched(container, result) => self.launched(container, result),
            Outcome::Ended(container, status) => self.ended(&container, status),
            Outcome::CleanedUp(container) => self.cleaned_up(container),
            Outcome::Removed(container, result) => self.removed(container, result),
            Outcome::Committed(container, result) => self.committed(container, result),
            Outcome::Memory(container, events) => {
                return self
                    .workshop
                    .publish(Event::CgroupMemory(container, events));
            }
        }
        for _ in 0..self.waiting.len() {
            if let Some(request) = self.waiting.pop_front()
                && let Some(request) = self.try_now(request)
            {
                self.waiting.push_back(request);
            }
        }
        if self.closing {
            self.take_down();
        }
    }

    fn mounted(
        &mut self,
        container: &Container,
        result: Result<W::Image, Arc<crate::storage::MountError>>,
    ) {
        let Some(entry) = self.registry.get_mut(container) else {
            return;
        };
        let (image, failure) = match result {
            Ok(image) => (Image::Mounted(image), None),
            Err(error) => (Image::Installed, Some(error)),
        };
        if let Image::Mounting { reply: Some(reply) } = std::mem::replace(&mut entry.image, image) {
            let result = failure.clone().map_or(Ok(()), |source| {
                Err(Error::Mount {
                    container: container.clone(),
                    source,
                })
            });
            answer(reply, result);
        }
        for user in self.gathering(container) {
            match &failure {
                None => self.launch_if_mounted(&user),
                Some(source) => {
                    let image = container.clone();
                    self.fail_start(
                        &user,
                        launch::Error::Mount {
                            image,
                            source: source.clone(),
                        },
                    );
                }
            }
        }
    }

    /// The starts that wait for this image.
    fn gathering(&self, image: &Container) -> Vec<Container> {
        let waits = |container: &Container, entry: &Entry<W>| match &entry.run {
            Run::Gathering(start) => container == image || start.resources.contains(image),
            _ => false,
        };
        let starts = self
            .registry
            .iter()
            .filter(|(container, entry)| waits(container, entry));
        starts.map(|(container, _)| container.clone()).collect()
    }

    fn fail_start(&mut self, container: &Container, error: launch::Error) {
        if let Some(entry) = self.registry.get_mut(container)
            && let Run::Gathering(start) = std::mem::replace(&mut entry.run, Run::Idle)
        {
            let (container, source) = (container.clone(), Arc::new(error));
            answer(
                start.reply,
                Err(Error::StartContainerFailed { container, source }),
            );
        }
    }

    fn unmounted(&mut self, container: &Container, result: Result<(), UnmountFailure<W>>) {
        let Some(entry) = self.registry.get_mut(container) else {
            return;
        };
        let after = match std::mem::replace(&mut entry.image, Image::Installed) {
            Image::Unmounting(after) => after,
            other => {
                entry.image = other;
                return;
            }
        };
        let error = match result {
            Ok(()) => None,
            Err(UnmountFailure::Busy(image)) => {
                entry.image = Image::Mounted(image);
                Some(Error::UmountBusy {
                    container: container.clone(),
                })
            }
            Err(UnmountFailure::Incomplete(source)) => Some(Error::Unmount {
                container: container.clone(),
                source,
            }),
        };
        match (after, error) {
            (AfterUnmount::Rest { reply }, error) => {
                if let Some(reply) = reply {
                    answer(reply, error.map_or(Ok(()), Err));
                }
            }
            (AfterUnmount::Remove { reply, .. }, Some(error)) => answer(reply, Err(error)),
            (AfterUnmount::Remove { wipe, reply }, None) => {
                entry.image = Image::Removing { reply };
                self.workshop.remove(container, entry.package.clone(), wipe);
            }
        }
    }

    fn launched(&mut self, container: Container, result: Result<Launched<W>, Arc<launch::Error>>) {
        let Some(entry) = self.registry.get_mut(&container) else {
            return;
        };
        let Run::Launching {
            resources, reply, ..
        } = std::mem::replace(&mut entry.run, Run::Idle)
        else {
            return;
        };
        match result {
            Ok(Launched { process, skipped }) => {
                entry.run = Run::Running { resources, process };
                entry.skipped = skipped;
                answer(reply, Ok(()));
                self.workshop.publish(Event::Started(container));
            }
            Err(source) if matches!(*source, launch::Error::Cancelled) => {
                answer(reply, Err(Error::ShuttingDown));
            }
            Err(source) => {
                answer(
                    reply,
                    Err(Error::StartContainerFailed { container, source }),
                );
            }
        }
    }

    fn ended(&mut self, container: &Container, status: ExitStatus) {
        let Some(entry) = self.registry.get_mut(container) else {
            return;
        };
        match std::mem::replace(&mut entry.run, Run::Idle) {
            Run::Running { resources, .. } => entry.run = Run::Exiting { resources, status },
            other => entry.run = other,
        }
    }

    fn cleaned_up(&mut self, container: Container) {
        let Some(entry) = self.registry.get_mut(&container) else {
            return;
        };
        let Run::Exiting { status, .. } = std::mem::replace(&mut entry.run, Run::Idle) else {
            return;
        };
        if entry.facts.critical && !status.success() && !self.closing {
            self.critical = Some((container.clone(), status));
        }
        self.workshop.publish(Event::Exited(container, status));
    }

    fn removed(
        &mut self,
        container: Container,
        result: Result<Removal, Arc<crate::repository::RemoveError>>,
    ) {
        let Some(entry) = self.registry.get_mut(&container) else {
            return;
        };
        let Image::Removing { reply } = std::mem::replace(&mut entry.image, Image::Installed)
        else {
            return;
        };
        let result = match result {
            Err(source) => return answer(reply, Err(Error::Remove { container, source })),
            Ok(Removal::Complete) => Ok(()),
            Ok(Removal::DataLeft(source)) => Err(Error::Wipe {
                container: container.clone(),
                source,
            }),
        };
        self.registry.remove(&container);
        answer(reply, result);
        self.workshop.publish(Event::Uninstalled(container));
    }

    fn committed(&mut self, container: Container, result: Result<(W::Package, Facts), Error>) {
        let reply = self.registry.end_commit(&container);
        let result = result.map(|(package, facts)| {
            self.registry
                .insert(container.clone(), Entry::new(package, facts));
            self.workshop.publish(Event::Installed(container.clone()));
            container
        });
        if let Some(reply) = reply {
            answer(reply, result);
        }
    }

    /// Refuses everything from now on, asks all containers to end, and takes down what is at rest; the outcomes of
    /// that take down the rest.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.workshop.publish(Event::Shutdown);
        for request in std::mem::take(&mut self.waiting) {
            request.deny(Error::ShuttingDown);
        }
        self.signal_all(nix::libc::SIGTERM);
        self.take_down();
    }

    /// Sends a signal to every running container. One that cannot be reached is dying or will be killed later.
    pub(super) fn signal_all(&mut self, signal: i32) {
        for (_, entry) in self.registry.iter() {
            if let Run::Running { process, .. } = &entry.run {
                let _ = self.workshop.signal(process, signal);
            }
        }
    }

    /// While closing: cancels starts, stops what came up nevertheless, unmounts what nobody uses any more.
    fn take_down(&mut self) {
        let mut idle = Vec::new();
        for (container, entry) in self.registry.iter_mut() {
            match std::mem::replace(&mut entry.run, Run::Idle) {
                Run::Gathering(start) => answer(start.reply, Err(Error::ShuttingDown)),
                Run::Launching {
                    resources,
                    cancel,
                    reply,
                } => {
                    cancel.cancel();
                    entry.run = Run::Launching {
                        resources,
                        cancel,
                        reply,
                    };
                }
                other => entry.run = other,
            }
            if entry.run.is_idle() && matches!(entry.image, Image::Mounted(_)) {
                idle.push(container.clone());
            }
        }
        for container in idle {
            if self.registry.user_of(&container).is_none() {
                self.begin_unmount(&container, AfterUnmount::Rest { reply: None });
            }
        }
    }

    /// While closing: nothing is left to wait for.
    pub(super) fn is_closed(&self) -> bool {
        self.closing && self.registry.is_at_rest()
    }
}
