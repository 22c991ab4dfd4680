//! Groups above containers that were missing and are shared by several.

use super::CgroupError;
use super::create::make_directory;
use rustix::fs::{XattrFlags, getxattr, setxattr};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The groups this process made above its containers, with the number of
/// containers that need each. Clones are the same set.
///
/// Making and removing happen under one lock, so that a group does not vanish
/// while a container is being created in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Parents(Arc<Mutex<BTreeMap<PathBuf, usize>>>);

impl Parents {
    /// Makes a directory if it is missing and keeps it until the returned hold
    /// is dropped. One that an operator made is not held: it stays for good.
    pub(super) fn hold(&self, directory: &Path) -> Result<Option<Hold>, CgroupError> {
        let mut held = self.lock();
        let own = make_own(directory)?;
        let count = match held.get_mut(directory) {
            Some(count) => count,
            None if own => held.entry(directory.to_owned()).or_insert(0),
            None => return Ok(None),
        };
        *count += 1;
        Ok(Some(Hold {
            parents: self.clone(),
            directory: directory.to_owned(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, usize>> {
        // The map is consistent between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks the groups of this and earlier daemons. Only `CAP_SYS_ADMIN` of the
/// host can set or see it (xattr(7)).
const MARK: &str = "trusted.northstar";

/// Makes a directory, if it is missing, and says whether it is ours to remove:
/// because it is new, or because a daemon that was killed has left it.
pub(super) fn make_own(directory: &Path) -> Result<bool, CgroupError> {
    if make_directory(directory)? {
        // Best effort: without the mark only a crash leaves the empty group.
        let _ = setxattr(directory, MARK, b"1", XattrFlags::empty());
        return Ok(true);
    }
    Ok(getxattr(directory, MARK, &mut [0u8; 1]).is_ok())
}

/// Keeps a directory; the last one removes it.
#[derive(Debug)]
pub(super) struct Hold {
    parents: Parents,
    directory: PathBuf,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.parents.lock();
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
        let parents = Parents::default();
        let first = parents.hold(&directory).unwrap().unwrap();
        let second = parents.clone().hold(&directory).unwrap().unwrap();
        drop(first);
        assert!(directory.exists());
        drop(second);
        assert!(!directory.exists());
        assert!(parents.lock().is_empty());
    }

    #[test]
    fn the_directory_of_somebody_else_stays() {
        let root = tempfile::tempdir().unwrap();
        assert!(Parents::default().hold(root.path()).unwrap().is_none());
        assert!(root.path().exists());
    }

    #[test]
    fn a_directory_in_use_stays() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("shared");
        let hold = Parents::default().hold(&directory).unwrap().unwrap();
        fs::create_dir(directory.join("other")).unwrap();
        drop(hold);
        assert!(directory.exists());
    }
}
