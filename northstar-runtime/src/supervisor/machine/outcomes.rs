//! What the end of a piece of work changes, and whom it answers.

use super::{Launched, Machine, Outcome, Removal, UnmountFailure, Workshop, answer};
use crate::{
    launch,
    repository::RemoveError,
    storage::MountError,
    supervisor::{
        Error, Event,
        ending::{Ending, Requested},
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
            Outcome::Ended(container, ending) => self.ended(&container, ending),
            Outcome::CleanedUp(container) => self.cleaned_up(container),
            Outcome::Removed(container, result) => self.removed(container, result),
            Outcome::Committed(container, result) => self.committed(container, result),
            Outcome::Memory(container, events) => {
                return self
                    .workshop
                    .publish(Event::CgroupMemory(container, events));
            }
        }
        self.look_again();
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
        if failure.is_none() {
            self.workshop.publish(Event::Mounted(container.clone()));
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
        if matches!(entry.image, Image::Installed) {
            self.workshop.publish(Event::Unmounted(container.clone()));
        }
        match (after, error) {
            (AfterUnmount::Rest { reply }, error) => {
                if let Some(reply) = reply {
                    answer(reply, error.map_or(Ok(()), Err));
                }
            }
            (AfterUnmount::Remove { reply, .. }, Some(error)) => answer(reply, Err(error)),
            (AfterUnmount::Remove { reply, .. }, None) if reply.is_cancelled() => {
                answer(reply, Err(Error::Cancelled));
            }
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
                entry.run = Run::Running {
                    resources,
                    process,
                    requested: Requested::default(),
                };
                entry.skipped = skipped;
                entry.starts = entry.starts.saturating_add(1);
                answer(reply, Ok(()));
                self.workshop.publish(Event::Started(container));
            }
            Err(source) if matches!(*source, launch::Error::Cancelled) => {
                let error = if self.closing.is_some() {
                    Error::ShuttingDown
                } else {
                    Error::Cancelled
                };
                answer(reply, Err(error));
            }
            Err(source) => {
                answer(
                    reply,
                    Err(Error::StartContainerFailed { container, source }),
                );
            }
        }
    }

    fn ended(&mut self, container: &Container, ending: Ending) {
        let closing = self.closing.is_some();
        let Some(entry) = self.registry.get_mut(container) else {
            return;
        };
        match std::mem::replace(&mut entry.run, Run::Idle) {
            Run::Running {
                resources,
                requested,
                ..
            } => {
                let exit = ending.exit(requested, closing);
                entry.run = Run::Exiting { resources, exit };
            }
            other => entry.run = other,
        }
    }

    fn cleaned_up(&mut self, container: Container) {
        let Some(entry) = self.registry.get_mut(&container) else {
            return;
        };
        let Run::Exiting { exit, .. } = std::mem::replace(&mut entry.run, Run::Idle) else {
            return;
        };
        entry.last_exit = Some(exit);
        if entry.facts.critical && !exit.status.success() && self.closing.is_none() {
            self.critical = Some((container.clone(), exit.status));
        }
        self.workshop.publish(Event::Exited(container, exit));
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
