//! The groups that this process has made or uses, and who still needs them.

use super::mark::Mark;
use super::{CgroupError, lifecycle};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The groups of this process: its own top group, those of its containers, and
/// those that were missing above, each with the number of holds. Clones are
/// the same set.
///
/// Making and removing happen under one lock, so that a group does not vanish
/// while a container is being created in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<Mutex<BTreeMap<PathBuf, usize>>>);

impl Held {
    /// Makes a group above a container if it is missing and keeps it until the
    /// returned hold is dropped. One that an operator made is not held: it
    /// stays for good.
    pub(super) fn parent(&self, directory: &Path) -> Result<Option<Hold>, CgroupError> {
        let mut held = self.lock();
        let mark = if Mark::Parent.make(directory)? {
            Some(Mark::Parent)
        } else {
            Mark::of(directory)
        };
        match mark {
            None => Ok(None),
            Some(Mark::Parent) => Ok(Some(self.add(&mut held, directory))),
            Some(Mark::Top) if held.contains_key(directory) => {
                Ok(Some(self.add(&mut held, directory)))
            }
            Some(Mark::Top | Mark::Container) => Err(foreign(directory)),
        }
    }

    /// Makes the group of a container, new and empty. One that is left over
    /// from an earlier container is replaced, because it has old limits;
    /// anybody else's is left alone.
    pub(super) fn container(&self, directory: &Path) -> Result<Hold, CgroupError> {
        let mut held = self.lock();
        if !Mark::Container.make(directory)? {
            if Mark::of(directory) != Some(Mark::Container) {
                return Err(foreign(directory));
            }
            let pids = lifecycle::processes(directory)?;
            if !pids.is_empty() || held.contains_key(directory) {
                return Err(CgroupError::InUse {
                    path: directory.to_owned(),
                    pids,
                });
            }
            lifecycle::remove(directory, Instant::now(), Duration::ZERO)?;
            if !Mark::Container.make(directory)? {
                return Err(foreign(directory));
            }
        }
        Ok(self.add(&mut held, directory))
    }

    /// Holds a group that exists and is ours.
    pub(super) fn existing(&self, directory: &Path) -> Hold {
        self.add(&mut self.lock(), directory)
    }

    fn add(&self, held: &mut BTreeMap<PathBuf, usize>, directory: &Path) -> Hold {
        *held.entry(directory.to_owned()).or_insert(0) += 1;
        Hold {
            held: self.clone(),
            directory: directory.to_owned(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, usize>> {
        // The map is consistent between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn foreign(directory: &Path) -> CgroupError {
    CgroupError::Foreign {
        path: directory.to_owned(),
    }
}

/// Keeps a group; the last hold removes it, if it is empty.
#[derive(Debug)]
pub(super) struct Hold {
    held: Held,
    directory: PathBuf,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        if let Some(count) = held.get_mut(&self.directory) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.directory);
                // Best effort: somebody else may use it by now.
                let _ = fs::remove_dir(&self.directory);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_holder_removes_the_directory() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("shared");
        let held = Held::default();
        let first = held.parent(&directory).unwrap().unwrap();
        let second = held.clone().parent(&directory).unwrap().unwrap();
        drop(first);
        assert!(directory.exists());
        drop(second);
        assert!(!directory.exists());
        assert!(held.lock().is_empty());
    }

    #[test]
    fn the_directory_of_somebody_else_stays() {
        let root = tempfile::tempdir().unwrap();
        assert!(Held::default().parent(root.path()).unwrap().is_none());
        assert!(root.path().exists());
    }

    #[test]
    fn a_directory_in_use_stays() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("shared");
        let hold = Held::default().parent(&directory).unwrap().unwrap();
        fs::create_dir(directory.join("other")).unwrap();
        drop(hold);
        assert!(directory.exists());
    }

    #[test]
    fn a_container_gets_no_group_of_somebody_else() {
        let root = tempfile::tempdir().unwrap();
        let held = Held::default();
        let path = |name: &str| root.path().join(name);
        fs::create_dir(path("operator")).unwrap();
        Mark::Top.make(&path("top")).unwrap();
        let _parent = held.parent(&path("parent")).unwrap();
        for name in ["operator", "top", "parent"] {
            match held.container(&path(name)) {
                Err(CgroupError::Foreign { path: found }) => assert_eq!(found, path(name)),
                other => panic!("{other:?}"),
            }
            assert!(path(name).exists());
        }
    }

    #[test]
    fn nothing_is_made_in_the_group_of_a_container_or_another_daemon() {
        let root = tempfile::tempdir().unwrap();
        let held = Held::default();
        let (container, top) = (root.path().join("container"), root.path().join("top"));
        let _container = held.container(&container).unwrap();
        Mark::Top.make(&top).unwrap();
        for directory in [&container, &top] {
            match held.parent(directory) {
                Err(CgroupError::Foreign { path }) => assert_eq!(path, *directory),
                other => panic!("{other:?}"),
            }
        }
        let _own = held.existing(&top);
        assert!(held.parent(&top).unwrap().is_some());
    }

    #[test]
    fn a_group_that_a_container_has_is_not_replaced() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("container");
        let held = Held::default();
        let first = held.container(&directory).unwrap();
        // Control files are not there in an ordinary directory.
        match held.container(&directory) {
            Err(CgroupError::InUse { path, pids }) => {
                assert_eq!((path, pids), (directory.clone(), vec![]));
            }
            other => panic!("{other:?}"),
        }
        drop(first);
        assert!(!directory.exists());
        Mark::Container.make(&directory).unwrap();
        held.container(&directory).unwrap();
    }
}
