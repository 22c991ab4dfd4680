//! Ids of the host for containers with a user namespace: a range for each, and never the same for two that run.
//!
//! Nothing on a disk ever has one of these ids, because mounts are id-mapped: so a range is free again as soon as its
//! container is gone, and the next one may get it. If a process of the container does not die, it is not.

use super::Error;
use crate::config::UserNamespaces;
use northstar_sandbox::plan::IdRange;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The ranges of the configuration and which of them are in use.
#[derive(Clone, Debug)]
pub(crate) struct IdRanges {
    configured: UserNamespaces,
    used: Arc<Mutex<BTreeSet<u32>>>,
}

/// A range that is in use as long as this lives.
#[derive(Debug)]
pub(super) struct Lease {
    ranges: IdRanges,
    /// Position among the ranges.
    position: u32,
    ids: IdRange,
    /// Not free even when this is gone.
    kept: bool,
}

impl IdRanges {
    pub(crate) fn new(configured: UserNamespaces) -> IdRanges {
        IdRanges {
            configured,
            used: Arc::default(),
        }
    }

    /// Takes the first range that is free.
    pub(super) fn take(&self) -> Result<Lease, Error> {
        let mut used = self.lock();
        let free = (0..self.configured.count).find(|position| !used.contains(position));
        let position = free.ok_or(Error::NoFreeIds {
            count: self.configured.count,
        })?;
        used.insert(position);
        // The configuration is checked: the last range ends below 2^32.
        let offset = position.saturating_mul(UserNamespaces::SIZE);
        Ok(Lease {
            ranges: self.clone(),
            position,
            ids: IdRange {
                first: self.configured.first_id.saturating_add(offset),
                count: UserNamespaces::SIZE,
            },
            kept: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        // Nothing panics while it holds the lock.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(super) fn ids(&self) -> IdRange {
        self.ids
    }

    /// Gives the range to nobody else as long as the daemon runs, because a process may still have its ids.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.kept {
            self.ranges.lock().remove(&self.position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_disjoint_and_free_again() {
        let ranges = IdRanges::new(UserNamespaces {
            first_id: 1_000_000,
            count: 2,
        });
        let (a, b) = (ranges.take().unwrap(), ranges.take().unwrap());
        let firsts = [a.ids().first, b.ids().first];
        assert_eq!(firsts, [1_000_000, 1_065_536]);
        assert_eq!(a.ids().count, 65_536);
        match ranges.take() {
            Err(Error::NoFreeIds { count: 2 }) => {}
            other => panic!("{other:?}"),
        }
        drop(a);
        assert_eq!(ranges.take().unwrap().ids().first, 1_000_000);
    }

    #[test]
    fn range_of_a_process_that_does_not_die_is_never_given_again() {
        let ranges = IdRanges::new(UserNamespaces {
            first_id: 1_000_000,
            count: 2,
        });
        ranges.take().unwrap().keep();
        for _ in 0..2 {
            assert_eq!(ranges.take().unwrap().ids().first, 1_065_536);
        }
    }
}
