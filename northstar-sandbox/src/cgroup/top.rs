//! The daemon's own top-level group.

use super::parents::make_own;
use super::path::GroupPath;
use super::{CgroupError, Hierarchy, lifecycle, v1};
use super::{Controller, REMOVAL_DEADLINE};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The group all containers of a daemon are below. It never holds a process
/// itself: version 2 gives controllers only to children of an empty group.
#[derive(Debug)]
pub struct TopGroup {
    hierarchy: Hierarchy,
    path: GroupPath,
    /// Directories that are new or left by an earlier daemon, the outermost first.
    made: Vec<PathBuf>,
}

impl TopGroup {
    /// Creates the group in every hierarchy, if it is not there already.
    ///
    /// # Errors
    ///
    /// A bad path, a directory that cannot be made, or processes in the group
    /// on version 2.
    pub fn create(hierarchy: &Hierarchy, path: &Path) -> Result<TopGroup, CgroupError> {
        let path = GroupPath::new(path)?;
        let mut top = TopGroup {
            hierarchy: hierarchy.clone(),
            path,
            made: Vec::new(),
        };
        // What was made so far is undone by the guard if something fails.
        let result = top.make();
        if let Err(error) = result {
            top.undo();
            return Err(error);
        }
        Ok(top)
    }

    fn make(&mut self) -> Result<(), CgroupError> {
        let cpuset = self.hierarchy.v1.get(&Controller::Cpuset).cloned();
        for root in self.hierarchy.roots() {
            for group in self.path.parents().into_iter().chain([self.path.as_path()]) {
                let directory = root.join(group);
                if make_own(&directory)? {
                    self.made.push(directory.clone());
                }
                if cpuset.as_deref() == Some(root) {
                    v1::inherit_cpuset(&directory)?;
                }
            }
        }
        if let Some(root) = &self.hierarchy.unified {
            let directory = root.join(self.path.as_path());
            let pids = lifecycle::own_processes(&directory)?;
            if !pids.is_empty() {
                return Err(CgroupError::InUse {
                    path: directory,
                    pids,
                });
            }
        }
        Ok(())
    }

    /// Where the group is, relative to the root of each hierarchy.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.path.as_path()
    }

    /// Kills and removes every group below this one: what a daemon that was
    /// killed left behind.
    ///
    /// Blocks up to [`REMOVAL_DEADLINE`] per group. Nothing outside of this
    /// group is touched.
    ///
    /// # Errors
    ///
    /// The first failure; the other groups are still removed.
    pub fn clear(&self) -> Result<(), CgroupError> {
        let mut names: BTreeSet<PathBuf> = BTreeSet::new();
        for root in self.hierarchy.roots() {
            let directory = root.join(self.path.as_path());
            for child in lifecycle::children(&directory)? {
                names.extend(child.file_name().map(|name| self.path.as_path().join(name)));
            }
        }
        names
            .into_iter()
            .map(|name| remove_tree(&self.hierarchy, self.path.as_path(), &name))
            .fold(Ok(()), Result::and)
    }

    /// Removes the group, as far as this daemon or one that was killed made it.
    ///
    /// # Errors
    ///
    /// A group that still has children or processes after
    /// [`REMOVAL_DEADLINE`].
    pub fn remove(mut self) -> Result<(), CgroupError> {
        let started = Instant::now();
        let mut result = Ok(());
        while let Some(directory) = self.made.pop() {
            result = result.and(lifecycle::remove(&directory, started, REMOVAL_DEADLINE));
        }
        result
    }

    fn undo(&mut self) {
        while let Some(directory) = self.made.pop() {
            // Best effort: the failure that led here is the one to report.
            let _ = std::fs::remove_dir(directory);
        }
    }
}

impl Drop for TopGroup {
    fn drop(&mut self) {
        self.undo();
    }
}

/// Kills everything in a group and removes it with all groups below it, in
/// every hierarchy. `path` must be below `top`. A group that does not exist is
/// removed already.
///
/// Blocks up to [`REMOVAL_DEADLINE`].
///
/// # Errors
///
/// A path that is not below `top`; processes that do not die in time.
pub fn remove_tree(hierarchy: &Hierarchy, top: &Path, path: &Path) -> Result<(), CgroupError> {
    let (top, path) = (GroupPath::new(top)?, GroupPath::new(path)?);
    if !path.is_within(&top) || path == top {
        let reason = "it is not below the daemon's own group";
        return Err(CgroupError::Path {
            path: path.as_path().to_owned(),
            reason,
        });
    }
    let started = Instant::now();
    let in_root = |root: &Path| root.join(path.as_path());
    let directories: Vec<PathBuf> = hierarchy.roots().into_iter().map(in_root).collect();
    let unified = hierarchy.unified.as_deref().map(in_root);
    let freezer = hierarchy
        .v1
        .get(&Controller::Freezer)
        .map(|root| in_root(root));
    let killed = lifecycle::kill_all(
        unified.as_deref(),
        freezer.as_deref(),
        &directories.iter().map(PathBuf::as_path).collect(),
    );
    directories
        .iter()
        .map(|directory| lifecycle::remove(directory, started, REMOVAL_DEADLINE))
        .fold(killed, Result::and)
}
