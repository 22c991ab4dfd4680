//! What the end of a piece of work changes, and whom it answers.

use super::{Launched, Machine, Outcome, Removal, UnmountFailure, Workshop, answer};
use crate::{
    launch,
    repository::RemoveError,
    storage::MountError,
    supervisor::{
        Error, Event, ExitStatus,
        registry::{AfterUnmount, Entry, Image, Run},
    },
};
use northstar_manifest::Container;
use std::sync::Arc;

impl<W: Workshop> Machine<W> {
    /// Takes the end of a piece of work, then looks at the requests that waited for it.
    pub(in crate::supervisor) fn outcome(&mut self, outcome: Outcome<W>) {
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
        if self.closing.is_some() {
            self.take_down();
        }
    }

    fn mounted(&mut self, container: &Container, result: Result<W::Image, Arc<MountError>>) {
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
                // At the end the mount is detached from under its user instead.
                if self.closing.is_none() {
                    entry.image = Image::Mounted(image);
                }
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
                self.workshop.remove(container, &entry.package, wipe);
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
                // The cancellation came too late.
                if let Some(signal) = self.closing {
                    let _ = self.workshop.signal(&process, signal);
                }
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
        if entry.facts.critical && !status.success() && self.closing.is_none() {
            self.critical = Some((container.clone(), status));
        }
        self.workshop.publish(Event::Exited(container, status));
    }

    fn removed(&mut self, container: Container, result: Result<Removal, Arc<RemoveError>>) {
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
        if let Some(entry) = self.registry.remove(&container) {
            self.workshop.forget(&container, &entry.package);
        }
        answer(reply, result);
        self.workshop.publish(Event::Uninstalled(container));
    }

    fn committed(&mut self, container: Container, result: Result<W::Committed, Error>) {
        let reply = self.registry.end_commit(&container);
        let result = result.map(|committed| {
            let (package, facts) = self.workshop.adopt(committed);
            self.registry
                .insert(container.clone(), Entry::new(package, facts));
            self.workshop.publish(Event::Installed(container.clone()));
            container
        });
        if let Some(reply) = reply {
            answer(reply, result);
        }
    }
}
