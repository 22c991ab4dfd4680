//! How much a repository holds and may hold, and who holds which container.
//!
//! Both are given out as values that give back on drop what they stand for. A package keeps its share for as long as
//! its file is open, that is for as long as it takes up room.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use northstar_manifest::Container;

use super::{InstallError, RepositoryId};

/// The limits of a repository and what is used of them.
#[derive(Debug)]
pub(super) struct Capacity {
    repository: RepositoryId,
    packages: Option<u64>,
    bytes: Option<u64>,
    used: Mutex<Used>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    packages: u64,
    bytes: u64,
}

impl Capacity {
    pub(super) fn new(repository: RepositoryId, packages: Option<u64>, bytes: Option<u64>) -> Self {
        Self {
            repository,
            packages,
            bytes,
            used: Mutex::default(),
        }
    }

    /// Sets room aside for a package of `bytes` bytes.
    pub(super) fn reserve(self: &Arc<Self>, bytes: u64) -> Result<Share, InstallError> {
        let mut used = self.used();
        if let Some(limit) = self.packages
            && used.packages >= limit
        {
            let repository = self.repository.clone();
            return Err(InstallError::TooManyPackages { repository, limit });
        }
        if let Some(limit) = self.bytes
            && used.bytes.checked_add(bytes).is_none_or(|sum| sum > limit)
        {
            return Err(InstallError::Capacity {
                repository: self.repository.clone(),
                size: bytes,
                used: used.bytes,
                limit,
            });
        }
        Ok(self.take(&mut used, bytes))
    }

    /// Counts a package that is there already, whatever the limits say.
    pub(super) fn account(self: &Arc<Self>, bytes: u64) -> Share {
        let mut used = self.used();
        self.take(&mut used, bytes)
    }

    fn take(self: &Arc<Self>, used: &mut Used, bytes: u64) -> Share {
        used.packages = used.packages.saturating_add(1);
        used.bytes = used.bytes.saturating_add(bytes);
        Share {
            capacity: Arc::clone(self),
            bytes,
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        // The numbers are consistent after every statement.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The room of one package.
#[derive(Debug)]
pub(super) struct Share {
    capacity: Arc<Capacity>,
    bytes: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut used = self.capacity.used();
        used.packages = used.packages.saturating_sub(1);
        used.bytes = used.bytes.saturating_sub(self.bytes);
    }
}

/// The containers of all repositories that share it: each name and version exists once.
#[derive(Clone, Debug, Default)]
pub struct Claims(Arc<Mutex<HashMap<Container, RepositoryId>>>);

impl Claims {
    /// Claims `container` for `repository`.
    ///
    /// # Errors
    ///
    /// The repository that has it already.
    pub(super) fn claim(
        &self,
        container: &Container,
        repository: &RepositoryId,
    ) -> Result<Claim, RepositoryId> {
        match self.owners().entry(container.clone()) {
            Entry::Occupied(owner) => Err(owner.get().clone()),
            Entry::Vacant(free) => {
                free.insert(repository.clone());
                Ok(Claim {
                    claims: self.clone(),
                    container: container.clone(),
                })
            }
        }
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<Container, RepositoryId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to a name and version.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Claims,
    container: Container,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.owners().remove(&self.container);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(packages: Option<u64>, bytes: Option<u64>) -> Arc<Capacity> {
        Arc::new(Capacity::new("test".parse().unwrap(), packages, bytes))
    }

    #[test]
    fn a_share_is_given_back_on_drop() {
        let capacity = capacity(Some(2), Some(100));
        let first = capacity.reserve(60).unwrap();
        let error = capacity.reserve(41).unwrap_err();
        assert!(
            matches!(
                error,
                InstallError::Capacity {
                    size: 41,
                    used: 60,
                    limit: 100,
                    ..
                }
            ),
            "{error:?}"
        );
        let _second = capacity.reserve(40).unwrap();
        let error = capacity.reserve(0).unwrap_err();
        assert!(
            matches!(error, InstallError::TooManyPackages { limit: 2, .. }),
            "{error:?}"
        );
        drop(first);
        let _third = capacity.reserve(60).unwrap();
    }

    #[test]
    fn a_size_that_overflows_does_not_fit() {
        let capacity = capacity(None, Some(u64::MAX));
        let _first = capacity.reserve(1).unwrap();
        let error = capacity.reserve(u64::MAX).unwrap_err();
        assert!(
            matches!(error, InstallError::Capacity { used: 1, .. }),
            "{error:?}"
        );
    }

    #[test]
    fn what_is_there_already_counts_even_beyond_the_limit() {
        let capacity = capacity(Some(1), Some(10));
        let there = [capacity.account(10), capacity.account(10)];
        assert_eq!(
            *capacity.used(),
            Used {
                packages: 2,
                bytes: 20
            }
        );
        drop(there);
        assert_eq!(*capacity.used(), Used::default());
    }

    #[test]
    fn a_container_has_one_owner_at_a_time() {
        let claims = Claims::default();
        let (a, b): (RepositoryId, RepositoryId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let container: Container = "x:1.0.0".parse().unwrap();
        let first = claims.claim(&container, &a).unwrap();
        assert_eq!(claims.claim(&container, &b).unwrap_err(), a);
        assert_eq!(claims.claim(&container, &a).unwrap_err(), a);
        drop(first);
        claims.claim(&container, &b).unwrap();
    }
}
