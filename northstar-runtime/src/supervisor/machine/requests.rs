//! From a request to its answer or to the work it orders.

use super::{Machine, Order, Request, Workshop, answer};
use crate::supervisor::{
    Error, Inspection, StartOverrides, Usage,
    admission::{self, Decision},
    command::{Reply, Wipe},
    registry::{AfterUnmount, Entry, Image, Run, Start},
};
use northstar_manifest::Container;
use std::{collections::BTreeSet, sync::Arc};
use tokio_util::sync::CancellationToken;

impl<W: Workshop> Machine<W> {
    pub(in crate::supervisor) fn inspect(
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

    pub(in crate::supervisor) fn statistics(
        &mut self,
        containers: &[Container],
        reply: Reply<Vec<Usage>>,
    ) {
        // Sorted: a request may name many containers, and nobody else gets an answer meanwhile.
        let named: BTreeSet<&Container> = containers.iter().collect();
        let wanted = |container: &Container| named.is_empty() || named.contains(container);
        let usage = self
            .registry
            .iter()
            .filter(|(container, _)| wanted(container))
            .map(|(container, entry)| {
                let usage = Usage {
                    container: container.clone(),
                    mounted: matches!(entry.image, Image::Mounted(_)),
                    starts: entry.starts,
                    process: None,
                };
                let process = match &entry.run {
                    Run::Running { process, .. } => Some(process.clone()),
                    _ => None,
                };
                (usage, process)
            });
        let usage = usage.collect();
        self.workshop.measure_all(usage, reply);
    }

    /// Some jobs were cancelled: ends what has not begun and what can be undone. The rest answers when it is done.
    pub(in crate::supervisor) fn look_for_cancelled(&mut self) {
        for request in std::mem::take(&mut self.waiting) {
            if request.is_cancelled() {
                request.deny(Error::Cancelled);
            } else {
                self.waiting.push_back(request);
            }
        }
        for (_, entry) in self.registry.iter_mut() {
            match std::mem::replace(&mut entry.run, Run::Idle) {
                // Its images are mounted all the same: others may wait for them.
                Run::Gathering(start) if start.reply.is_cancelled() => {
                    answer(start.reply, Err(Error::Cancelled));
                }
                other => {
                    if let Run::Launching { cancel, reply, .. } = &other
                        && reply.is_cancelled()
                    {
                        cancel.cancel();
                    }
                    entry.run = other;
                }
            }
        }
        self.look_again();
    }

    /// Takes a request: answers it, begins it, or keeps it until a transition has ended.
    pub(in crate::supervisor) fn request(&mut self, request: Request<W>) {
        if self.closing.is_some() {
            return request.deny(Error::ShuttingDown);
        }
        if let Some(request) = self.try_now(request) {
            self.waiting.push_back(request);
        }
    }

    /// Decides the waiting requests anew.
    pub(super) fn look_again(&mut self) {
        for _ in 0..self.waiting.len() {
            if let Some(request) = self.waiting.pop_front()
                && let Some(request) = self.try_now(request)
            {
                self.waiting.push_back(request);
            }
        }
    }

    /// Begins or answers the request, or hands it back if it has to wait.
    pub(super) fn try_now(&mut self, request: Request<W>) -> Option<Request<W>> {
        if request.is_cancelled() {
            request.deny(Error::Cancelled);
            return None;
        }
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

    pub(super) fn begin_unmount(&mut self, container: &Container, after: AfterUnmount) {
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
            self.workshop.remove(container, &entry.package, wipe);
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
    pub(super) fn launch_if_mounted(&mut self, container: &Container) {
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
        workshop.launch(Order {
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
            run: Run::Running {
                process, requested, ..
            },
            ..
        }) = self.registry.get_mut(&container)
        else {
            return answer(reply, Err(Error::StopContainerNotStarted { container }));
        };
        // Before it is sent: the end may be noticed at once.
        requested.note(signal);
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
}
