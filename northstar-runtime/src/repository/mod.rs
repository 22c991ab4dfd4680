//! Repositories: where packages are kept, how they get there and how they leave.
//!
//! A repository is a directory or memory. With a key, every package in it was signed with it, and nothing of a
//! package is interpreted before its signature was checked; without one, packages are trusted as they are. An entry
//! that is not an acceptable package is reported and left alone: it never keeps the others from being used.
//!
//! The registry half ([`Repository`]) belongs to one task. Everything that waits for a disk is in values of their own
//! that can be sent away: [`Staging`] and [`Staged`] for installs, [`Removal`] for the way out. They share the
//! [`store`] with the repository, in which room and names are given out.

mod capacity;
mod directory;
mod error;
mod files;
mod hashing;
mod load;
mod package;
mod staging;
mod store;
mod worker;
mod writer;

use std::{collections::BTreeMap, sync::Arc};

use northstar_manifest::Container;
use northstar_npk::key::PublicKey;

pub use crate::config::RepositoryId;
use crate::{config, storage::Integrity};
use capacity::Capacity;
pub use capacity::Claims;
use directory::Directory;
pub use error::{InstallError, OpenError, RejectReason, Rejected, RemoveError};
pub use package::InstalledPackage;
pub use staging::{Staged, Staging};
use store::Store;

/// The most that repositories in memory hold unless the configuration says otherwise, in bytes.
pub const MEMORY_CAPACITY: u64 = 512 * 1024 * 1024;

/// One repository and its packages.
#[derive(Debug)]
pub struct Repository {
    store: Arc<Store>,
    packages: BTreeMap<Container, Arc<InstalledPackage>>,
}

impl Repository {
    /// Opens a repository on its own. See [`Repository::open_with`].
    ///
    /// # Errors
    ///
    /// As [`Repository::open_with`].
    pub fn open(
        id: &RepositoryId,
        config: &config::Repository,
    ) -> Result<(Self, Vec<Rejected>), OpenError> {
        Self::open_with(id, config, &Claims::default())
    }

    /// Opens a repository and loads its packages, on all cores. Blocks.
    ///
    /// A name and version that has been claimed, by another repository with the same `claims` or by an earlier entry
    /// of this one, is rejected. Existing packages are loaded even if they exceed the capacity, which limits installs.
    ///
    /// # Errors
    ///
    /// The key or the directory cannot be used. What is wrong with a single entry is in the list of rejected ones.
    pub fn open_with(
        id: &RepositoryId,
        config: &config::Repository,
        claims: &Claims,
    ) -> Result<(Self, Vec<Rejected>), OpenError> {
        let key = match &config.key {
            Some(path) => Some(PublicKey::read(path).map_err(|source| OpenError::Key {
                repository: id.clone(),
                source,
            })?),
            None => None,
        };
        let integrity = match (&key, config.integrity) {
            (None, _) => Integrity::None,
            (Some(_), config::Integrity::DmVerity) => Integrity::DmVerity,
            (Some(_), config::Integrity::FullRead) => Integrity::FullRead,
        };
        let (directory, bytes) = match &config.storage {
            config::Storage::Fs { dir } => (
                Some(Arc::new(Directory::open(id, dir)?)),
                config.capacity_size,
            ),
            config::Storage::Mem => (None, Some(config.capacity_size.unwrap_or(MEMORY_CAPACITY))),
        };
        if let (None, Some(directory)) = (&key, &directory)
            && !directory.is_private()
        {
            tracing::warn!(
                "repository {id} has no key, and others than the daemon can put packages into its directory"
            );
        }
        let packages = config.capacity_num.map(u64::from);
        let store = Arc::new(Store {
            repository: id.clone(),
            key,
            integrity,
            capacity: Arc::new(Capacity::new(id.clone(), packages, bytes)),
            claims: claims.clone(),
            directory,
        });
        let mut repository = Self {
            store,
            packages: BTreeMap::new(),
        };
        let rejected = repository.load()?;
        Ok((repository, rejected))
    }

    fn load(&mut self) -> Result<Vec<Rejected>, OpenError> {
        let store = Arc::clone(&self.store);
        let Some(directory) = &store.directory else {
            return Ok(Vec::new());
        };
        let mut rejected = Vec::new();
        for (entry, result) in load::load(directory, directory.entries()?, store.key.as_ref()) {
            let claimed = result.and_then(|(package, file, size)| {
                let container = package.container();
                match store.claims.claim(&container, &store.repository) {
                    Ok(claim) => Ok((package, file, size, claim)),
                    Err(first) => Err(RejectReason::Duplicate { container, first }),
                }
            });
            match claimed {
                Ok((package, file, size, claim)) => {
                    let share = store.capacity.account(size);
                    let entry = Some(entry);
                    self.insert(store.installed(package, file, size, entry, share, claim));
                }
                Err(reason) => rejected.push(Rejected {
                    repository: store.repository.clone(),
                    entry: directory.path_of(&entry),
                    reason,
                }),
            }
        }
        Ok(rejected)
    }

    /// The repository's name.
    pub fn id(&self) -> &RepositoryId {
        &self.store.repository
    }

    /// How the images of this repository are protected.
    pub fn integrity(&self) -> Integrity {
        self.store.integrity
    }

    /// All packages, by name and version.
    pub fn packages(&self) -> impl Iterator<Item = &Arc<InstalledPackage>> {
        self.packages.values()
    }

    /// One package.
    pub fn get(&self, container: &Container) -> Option<Arc<InstalledPackage>> {
        self.packages.get(container).cloned()
    }

    /// Begins an install of a package of `size` bytes: sets room aside, does nothing that waits.
    ///
    /// # Errors
    ///
    /// [`InstallError::TooManyPackages`] and [`InstallError::Capacity`].
    pub fn stage(&self, size: u64) -> Result<Staging, InstallError> {
        let share = self.store.capacity.reserve(size)?;
        Ok(Staging::new(Arc::clone(&self.store), share, size))
    }

    /// Adds a package that was committed to this repository.
    pub fn insert(&mut self, package: InstalledPackage) -> Arc<InstalledPackage> {
        let package = Arc::new(package);
        self.packages
            .insert(package.container.clone(), Arc::clone(&package));
        package
    }

    /// Prepares the removal of a package. The package stays known until [`Repository::forget`].
    pub fn removal(&self, container: &Container) -> Option<Removal> {
        let package = self.get(container)?;
        Some(Removal {
            store: Arc::clone(&self.store),
            package,
        })
    }

    /// Forgets a package that was removed. Its name and its room are free as soon as nobody has the package any more.
    pub fn forget(&mut self, container: &Container) -> Option<Arc<InstalledPackage>> {
        self.packages.remove(container)
    }
}

/// The removal of one package from its repository.
#[derive(Debug)]
pub struct Removal {
    store: Arc<Store>,
    package: Arc<InstalledPackage>,
}

impl Removal {
    /// Removes the package's file, durably. The work is done on a blocking thread and goes on if the future is
    /// dropped.
    ///
    /// # Errors
    ///
    /// See [`RemoveError`]; the package is still there.
    pub async fn execute(self) -> Result<(), RemoveError> {
        let container = self.package.container.clone();
        tokio::task::spawn_blocking(move || self.execute_blocking())
            .await
            .unwrap_or(Err(RemoveError::Interrupted { container }))
    }

    fn execute_blocking(self) -> Result<(), RemoveError> {
        match (&self.store.directory, &self.package.entry) {
            (Some(directory), Some(entry)) => directory.remove(entry, &self.package.source.file),
            // In memory the bytes go with the last descriptor.
            _ => Ok(()),
        }
    }
}
