//! Something of the host that no container may reach, and the mounts of the host.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// A directory of the host with files in it, and what the host looked like when it was made.
#[derive(Debug)]
pub struct Canary {
    directory: PathBuf,
    tree: BTreeMap<PathBuf, String>,
    mounts: String,
}

impl Canary {
    /// Makes the directory `canary` in `directory`, which a container with user 1000 could read and write if it got
    /// there.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        let directory = directory.join("canary");
        for folder in ["", "inside", "proc", "dev"] {
            let path = directory.join(folder);
            fs::create_dir(&path).expect("a directory can be made");
            std::os::unix::fs::chown(&path, Some(1000), Some(1000)).expect("root may give it away");
        }
        for file in ["text", "inside/text", "program"] {
            let path = directory.join(file);
            fs::write(&path, "untouched").expect("a file can be written");
            std::os::unix::fs::chown(&path, Some(1000), Some(1000)).expect("root may give it away");
        }
        Self {
            tree: tree(&directory),
            mounts: mounts(),
            directory,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Asserts that nothing of it has changed, and that the host has the mounts that it had.
    ///
    /// # Panics
    /// If anything has; `after` says what happened before.
    pub fn assert_untouched(&self, after: &str) {
        assert_eq!(tree(&self.directory), self.tree, "after {after}");
        assert_eq!(mounts(), self.mounts, "after {after}");
    }
}

/// Kind, mode, owner, times and content of everything below a directory.
fn tree(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut tree = BTreeMap::new();
    let mut queue = vec![directory.to_owned()];
    while let Some(path) = queue.pop() {
        let metadata = fs::symlink_metadata(&path).expect("the canary lives");
        let (mode, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        let content = if metadata.is_file() {
            let bytes = fs::read(&path).expect("the canary can be read");
            format!("{:x?}", Sha256::digest(bytes))
        } else {
            String::new()
        };
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).expect("the canary can be listed");
            queue.extend(entries.flatten().map(|entry| entry.path()));
        }
        tree.insert(path, format!("{mode:o} {uid}:{gid} {changed:?} {content}"));
    }
    tree
}

/// The mounts of this process, which is in the mount namespace of the host.
fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").expect("a process has mounts")
}
