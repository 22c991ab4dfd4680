//! What each container is at the moment.
//!
//! A container has two sides that move on their own: its image ([`Image`]) and its run ([`Run`]). A run needs the
//! image mounted from [`Run::Launching`] on, and so do the resources it uses. Each state carries exactly what exists
//! in it, among it the answer that is owed when the state ends.

use super::{
    Error, Exit, StartOverrides, State,
    command::{Reply, Wipe},
    ending::Requested,
};
use crate::repository::RepositoryId;
use northstar_manifest::{Container, Name, Version, VersionReq};
use semver::Prerelease;
use std::{
    collections::BTreeMap,
    fmt::Debug,
    path::PathBuf,
    sync::{Arc, LazyLock},
};
use tokio_util::sync::CancellationToken;

/// The version before all others: `0.0.0-0`, the lowest pre-release of the lowest version.
static OLDEST: LazyLock<Version> = LazyLock::new(|| Version {
    pre: Prerelease::new("0").unwrap_or(Prerelease::EMPTY),
    ..Version::new(0, 0, 0)
});

/// The things that the state machine carries around without looking into them.
pub(super) trait Parts: Debug {
    /// An installed package.
    type Package: Clone + Debug;
    /// A mounted image.
    type Image: Debug;
    /// A running container.
    type Process: Clone + Debug;
    /// An uploaded and verified package that is not in its repository yet.
    type Staged: Debug;
    /// A package that is in its repository but not known yet.
    type Committed: Debug;
}

/// All installed containers, by name and version.
#[derive(Debug)]
pub(super) struct Registry<T: Parts> {
    entries: BTreeMap<Container, Entry<T>>,
    /// The keys of `entries`, if somebody has asked since they changed.
    listed: Option<Arc<[Container]>>,
    /// Installs that are being made visible, with where their answers go.
    committing: BTreeMap<Container, Reply<Result<Container, Error>>>,
}

/// One installed container.
#[derive(Debug)]
pub(super) struct Entry<T: Parts> {
    pub(super) package: T::Package,
    pub(super) facts: Facts,
    pub(super) image: Image<T>,
    pub(super) run: Run<T>,
    /// What the last start left out.
    pub(super) skipped: Vec<String>,
    /// Successful starts so far.
    pub(super) starts: u64,
    pub(super) last_exit: Option<Exit>,
}

/// What a decision needs to know of a package and its repository.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) repository: RepositoryId,
    /// The package has no init.
    pub(super) resource: bool,
    /// The repository lets a start bring init, arguments and environment.
    pub(super) start_command: bool,
    /// `autostart: critical`.
    pub(super) critical: bool,
    /// The resources to be mounted into the container.
    pub(super) needs: Vec<Need>,
}

/// A resource that a manifest asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// Where in the container.
    pub(super) target: PathBuf,
    pub(super) name: Name,
    pub(super) version: VersionReq,
}

/// The image side of a container.
#[derive(Debug)]
pub(super) enum Image<T: Parts> {
    /// Only in its repository.
    Installed,
    /// A mount is under way, for this request or for a start.
    Mounting {
        reply: Option<Reply<Result<(), Error>>>,
    },
    Mounted(T::Image),
    /// An umount is under way.
    Unmounting(AfterUnmount),
    /// The package is being removed.
    Removing {
        reply: Reply<Result<(), Error>>,
    },
}

/// Who waits for an umount, and why.
#[derive(Debug)]
pub(super) enum AfterUnmount {
    Rest {
        reply: Option<Reply<Result<(), Error>>>,
    },
    Remove {
        wipe: Wipe,
        reply: Reply<Result<(), Error>>,
    },
}

/// The run side of a container.
#[derive(Debug)]
pub(super) enum Run<T: Parts> {
    Idle,
    /// A start that waits until its images are mounted.
    Gathering(Start),
    /// A start under way, with everything mounted.
    Launching {
        resources: Vec<Container>,
        cancel: CancellationToken,
        reply: Reply<Result<(), Error>>,
    },
    Running {
        resources: Vec<Container>,
        process: T::Process,
        /// What clients have sent to it.
        requested: Requested,
    },
    /// The program has ended; what was made for it is being cleaned up.
    Exiting {
        resources: Vec<Container>,
        exit: Exit,
    },
}

/// A start that was accepted.
#[derive(Debug)]
pub(super) struct Start {
    /// The newest match of each need, in the order of the needs.
    pub(super) resources: Vec<Container>,
    pub(super) overrides: StartOverrides,
    pub(super) reply: Reply<Result<(), Error>>,
}

impl<T: Parts> Image<T> {
    /// Something is under way that will end by itself.
    pub(super) fn in_transition(&self) -> bool {
        match self {
            Image::Installed | Image::Mounted(_) => false,
            Image::Mounting { .. } | Image::Unmounting(_) | Image::Removing { .. } => true,
        }
    }

    /// Takes the mounted image out, if that is what it is, and leaves `Installed`.
    pub(super) fn take_mounted(&mut self) -> Option<T::Image> {
        match std::mem::replace(self, Image::Installed) {
            Image::Mounted(image) => Some(image),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl<T: Parts> Run<T> {
    /// Something is under way that will end by itself.
    pub(super) fn in_transition(&self) -> bool {
        match self {
            Run::Idle | Run::Running { .. } => false,
            Run::Gathering(_) | Run::Launching { .. } | Run::Exiting { .. } => true,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Run::Idle)
    }

    /// The resources in use.
    pub(super) fn resources(&self) -> &[Container] {
        match self {
            Run::Idle => &[],
            Run::Gathering(start) => &start.resources,
            Run::Launching { resources, .. }
            | Run::Running { resources, .. }
            | Run::Exiting { resources, .. } => resources,
        }
    }
}

impl<T: Parts> Entry<T> {
    pub(super) fn new(package: T::Package, facts: Facts) -> Entry<T> {
        Entry {
            package,
            facts,
            image: Image::Installed,
            run: Run::Idle,
            skipped: Vec::new(),
            starts: 0,
            last_exit: None,
        }
    }

    pub(super) fn state(&self) -> State {
        match (&self.run, &self.image) {
            (Run::Gathering(_) | Run::Launching { .. }, _) => State::Starting,
            (Run::Running { .. }, _) => State::Running,
            (Run::Exiting { .. }, _) => State::Exiting,
            (Run::Idle, Image::Installed) => State::Installed,
            (Run::Idle, Image::Mounting { .. }) => State::Mounting,
            (Run::Idle, Image::Mounted(_)) => State::Mounted,
            (Run::Idle, Image::Unmounting(_)) => State::Unmounting,
            (Run::Idle, Image::Removing { .. }) => State::Removing,
        }
    }
}

impl<T: Parts> Default for Registry<T> {
    fn default() -> Self {
        Registry {
            entries: BTreeMap::new(),
            listed: None,
            committing: BTreeMap::new(),
        }
    }
}

impl<T: Parts> Registry<T> {
    pub(super) fn get(&self, container: &Container) -> Option<&Entry<T>> {
        self.entries.get(container)
    }

    pub(super) fn get_mut(&mut self, container: &Container) -> Option<&mut Entry<T>> {
        self.entries.get_mut(container)
    }

    pub(super) fn insert(&mut self, container: Container, entry: Entry<T>) {
        self.listed = None;
        self.entries.insert(container, entry);
    }

    pub(super) fn remove(&mut self, container: &Container) -> Option<Entry<T>> {
        self.listed = None;
        self.entries.remove(container)
    }

    /// All containers, sorted. As long as they are the same it is the same list.
    pub(super) fn list(&mut self) -> Arc<[Container]> {
        let listed = || self.entries.keys().cloned().collect();
        Arc::clone(self.listed.get_or_insert_with(listed))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Container, &Entry<T>)> {
        self.entries.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Container, &mut Entry<T>)> {
        self.entries.iter_mut()
    }

    /// All versions of a name, oldest first. Looks at no other name.
    pub(super) fn versions<'a>(
        &'a self,
        name: &'a Name,
    ) -> impl Iterator<Item = (&'a Container, &'a Entry<T>)> {
        self.entries
            .range(Container::new(name.clone(), OLDEST.clone())..)
            .take_while(move |(container, _)| container.name() == name)
    }

    /// The version of this name that is started, starting or about to be cleaned up.
    pub(super) fn active<'a>(&'a self, name: &'a Name) -> Option<(&'a Container, &'a Entry<T>)> {
        self.versions(name).find(|(_, entry)| !entry.run.is_idle())
    }

    /// The newest installed resource that satisfies the need.
    pub(super) fn newest_match<'a>(
        &'a self,
        need: &'a Need,
    ) -> Option<(&'a Container, &'a Entry<T>)> {
        self.versions(&need.name)
            .filter(|(container, entry)| {
                entry.facts.resource && need.version.matches(container.version())
            })
            .last()
    }

    /// A container whose run holds this resource.
    pub(super) fn user_of(&self, resource: &Container) -> Option<(&Container, &Entry<T>)> {
        self.entries
            .iter()
            .find(|(_, entry)| entry.run.resources().contains(resource))
    }

    /// An uploaded package with this name and version is being made visible.
    pub(super) fn is_committing(&self, container: &Container) -> bool {
        self.committing.contains_key(container)
    }

    pub(super) fn begin_commit(
        &mut self,
        container: Container,
        reply: Reply<Result<Container, Error>>,
    ) {
        self.committing.insert(container, reply);
    }

    pub(super) fn end_commit(
        &mut self,
        container: &Container,
    ) -> Option<Reply<Result<Container, Error>>> {
        self.committing.remove(container)
    }

    /// Nothing is mounted, runs or is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        self.committing.is_empty()
            && self
                .entries
                .values()
                .all(|entry| matches!(entry.image, Image::Installed) && entry.run.is_idle())
    }
}
