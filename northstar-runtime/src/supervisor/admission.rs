//! May this request run now? A pure function of what the containers are and what is asked.
//!
//! The rule for requests that meet: whoever meets a transition (a mount, a launch, a clean-up, ... under way) waits
//! for its end, and is then decided anew. So every answer is the one that the request would have got if all requests
//! had come one after the other, and nobody is refused because of a state that is about to end.

use super::{
    Error, StartOverrides, arguments,
    command::Wipe,
    registry::{Entry, Image, Parts, Registry, Run},
};
use northstar_manifest::Container;

/// A request, without where its answer goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask<'a> {
    Mount(&'a Container),
    Umount(&'a Container),
    Start(&'a Container, &'a StartOverrides),
    Kill(&'a Container, i32),
    Uninstall(&'a Container, Wipe),
    /// Makes an uploaded package visible.
    Commit(&'a Container),
}

/// The answer to "may it run now".
#[derive(Debug)]
pub(super) enum Decision {
    /// It may, and the state allows each of its steps.
    Accept,
    /// Not yet: a transition that concerns it is under way.
    Wait,
    /// It may not.
    Denied(Error),
}

/// Signal numbers of Linux: 1 to 64 (signal(7), with the real-time signals).
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=64;

/// Decides one request. Looks only at the container, at the other versions of its name and at its resources.
pub(super) fn decide<T: Parts>(registry: &Registry<T>, ask: Ask<'_>) -> Decision {
    let result = match ask {
        Ask::Mount(container) => mount(registry, container),
        Ask::Umount(container) => umount(registry, container),
        Ask::Start(container, overrides) => start(registry, container, overrides),
        Ask::Kill(container, signal) => kill(registry, container, signal),
        Ask::Uninstall(container, wipe) => uninstall(registry, container, wipe),
        Ask::Commit(container) => commit(registry, container),
    };
    result.unwrap_or_else(Decision::Denied)
}

/// The resources a container would be started with: the newest match of each of its needs, in their order.
pub(super) fn resources<T: Parts>(
    registry: &Registry<T>,
    container: &Container,
) -> Result<Vec<Container>, Error> {
    let entry = known(registry, container)?;
    let matches = entry
        .facts
        .needs
        .iter()
        .map(|need| match registry.newest_match(need) {
            Some((resource, _)) => Ok(resource.clone()),
            None => Err(Error::StartContainerMissingResource {
                container: container.clone(),
                resource: need.name.clone(),
                version: need.version.clone(),
            }),
        });
    matches.collect()
}

fn known<'a, T: Parts>(
    registry: &'a Registry<T>,
    container: &Container,
) -> Result<&'a Entry<T>, Error> {
    registry
        .get(container)
        .ok_or_else(|| Error::InvalidContainer {
            container: container.clone(),
        })
}

fn mount<T: Parts>(registry: &Registry<T>, container: &Container) -> Result<Decision, Error> {
    match known(registry, container)?.image {
        Image::Installed => Ok(Decision::Accept),
        Image::Mounted(_) => Err(Error::MountBusy {
            container: container.clone(),
        }),
        Image::Mounting { .. } | Image::Unmounting(_) | Image::Removing { .. } => {
            Ok(Decision::Wait)
        }
    }
}

fn umount<T: Parts>(registry: &Registry<T>, container: &Container) -> Result<Decision, Error> {
    let entry = known(registry, container)?;
    if entry.image.in_transition() || entry.run.in_transition() {
        return Ok(Decision::Wait);
    }
    match entry.image {
        Image::Mounted(_) => unused(registry, container, entry),
        _ => Err(Error::UmountBusy {
            container: container.clone(),
        }),
    }
}

/// Accepts if the container does not run and nobody who runs uses it.
fn unused<T: Parts>(
    registry: &Registry<T>,
    container: &Container,
    entry: &Entry<T>,
) -> Result<Decision, Error> {
    if !entry.run.is_idle() {
        return Err(Error::UmountBusy {
            container: container.clone(),
        });
    }
    match registry.user_of(container) {
        None => Ok(Decision::Accept),
        Some((_, user)) if user.run.in_transition() => Ok(Decision::Wait),
        Some((user, _)) => Err(Error::UmountBusy {
            container: user.clone(),
        }),
    }
}

fn start<T: Parts>(
    registry: &Registry<T>,
    container: &Container,
    overrides: &StartOverrides,
) -> Result<Decision, Error> {
    let entry = known(registry, container)?;
    if entry.facts.resource {
        return Err(Error::StartContainerResource {
            container: container.clone(),
        });
    }
    arguments::check(overrides, &entry.facts).map_err(|cause| Error::InvalidArguments { cause })?;
    match registry.active(container.name()) {
        Some((
            running,
            Entry {
                run: Run::Running { .. },
                ..
            },
        )) => {
            return Err(Error::StartContainerStarted {
                container: running.clone(),
            });
        }
        Some(_) => return Ok(Decision::Wait),
        None => {}
    }
    // A mount under way is as good as a mounted image: the start waits for it by itself.
    let leaving =
        |entry: &Entry<T>| matches!(entry.image, Image::Unmounting(_) | Image::Removing { .. });
    if leaving(entry) {
        return Ok(Decision::Wait);
    }
    let resources = resources(registry, container)?;
    if resources
        .iter()
        .filter_map(|resource| registry.get(resource))
        .any(leaving)
    {
        return Ok(Decision::Wait);
    }
    Ok(Decision::Accept)
}

fn kill<T: Parts>(
    registry: &Registry<T>,
    container: &Container,
    signal: i32,
) -> Result<Decision, Error> {
    let entry = known(registry, container)?;
    match &entry.run {
        Run::Idle => Err(Error::StopContainerNotStarted {
            container: container.clone(),
        }),
        Run::Running { .. } if SIGNALS.contains(&signal) => Ok(Decision::Accept),
        Run::Running { .. } => Err(Error::InvalidSignal { signal }),
        Run::Gathering(_) | Run::Launching { .. } | Run::Exiting { .. } => Ok(Decision::Wait),
    }
}

fn uninstall<T: Parts>(
    registry: &Registry<T>,
    container: &Container,
    wipe: Wipe,
) -> Result<Decision, Error> {
    let entry = known(registry, container)?;
    if entry.image.in_transition() || entry.run.in_transition() {
        return Ok(Decision::Wait);
    }
    if wipe == Wipe::Remove {
        // All versions of a name share their persistent data, which must not vanish under a running one.
        match registry.active(container.name()) {
            Some((_, other)) if other.run.in_transition() => return Ok(Decision::Wait),
            Some((other, _)) => {
                return Err(Error::UmountBusy {
                    container: other.clone(),
                });
            }
            None => {}
        }
    }
    unused(registry, container, entry)
}

fn commit<T: Parts>(registry: &Registry<T>, container: &Container) -> Result<Decision, Error> {
    match registry.get(container) {
        None if registry.is_committing(container) => Ok(Decision::Wait),
        None => Ok(Decision::Accept),
        Some(Entry {
            image: Image::Removing { .. },
            ..
        }) => Ok(Decision::Wait),
        Some(_) => Err(Error::InstallDuplicate {
            container: container.clone(),
        }),
    }
}
