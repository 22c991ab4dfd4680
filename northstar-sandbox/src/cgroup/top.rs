//! The daemon's own top-level group.

use super::held::Hold;
use super::mark::{self, Lock, Mark};
use super::path::GroupPath;
use super::{CgroupError, Hierarchy, lifecycle, v1};
use super::{Controller, REMOVAL_DEADLINE};
use rustix::fs::{Mode, fchmod};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How often the group is made once more because a daemon that ends removes it
/// at the same time.
const ATTEMPTS: usize = 10;

/// The group all containers of a daemon are below. It never holds a process
/// itself: version 2 gives controllers only to children of an empty group.
///
/// It is locked (flock(2)) as long as this lives: two daemons cannot have the
/// same group, or one inside the other's.
#[derive(Debug)]
pub struct TopGroup {
    hierarchy: Hierarchy,
    path: GroupPath,
    claims: Vec<Claim>,
}

/// The group in one hierarchy.
#[derive(Debug)]
struct Claim {
    directory: PathBuf,
    /// It and those above that this daemon or one that was killed made, the
    /// outermost first.
    made: Vec<Hold>,
    /// The group itself is one of them.
    own: bool,
    /// Closed after everything else is gone.
    locks: Vec<OwnedFd>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        while let Some(hold) = self.made.pop() {
            drop(hold);
        }
    }
}

impl TopGroup {
    /// Creates the group in every hierarchy, if it is not there already, and
    /// locks it.
    ///
    /// Groups that are made here cannot be opened by unprivileged processes,
    /// and so not be locked by them. For one that an operator made this is so
    /// if its mode says so.
    ///
    /// # Errors
    ///
    /// [`CgroupError::Claimed`] if another daemon has the group, or one above
    /// or below it. A bad path, a directory that cannot be made, a group of a
    /// container in its place, or processes in the group on version 2.
    pub fn create(hierarchy: &Hierarchy, path: &Path) -> Result<TopGroup, CgroupError> {
        let mut top = TopGroup {
            hierarchy: hierarchy.clone(),
            path: GroupPath::new(path)?,
            claims: Vec::new(),
        };
        // What was made so far is undone by its Drop if something fails.
        for root in hierarchy.roots() {
            let claim = top.claim(root)?;
            top.claims.push(claim);
        }
        if let Some(root) = &hierarchy.unified {
            let directory = root.join(top.path.as_path());
            let pids = lifecycle::own_processes(&directory)?;
            if !pids.is_empty() {
                return Err(CgroupError::InUse {
                    path: directory,
                    pids,
                });
            }
        }
        Ok(top)
    }

    fn claim(&self, root: &Path) -> Result<Claim, CgroupError> {
        for _ in 0..ATTEMPTS {
            match self.try_claim(root) {
                Ok(Some(claim)) => return Ok(claim),
                Ok(None) => {}
                // One above is gone by now.
                Err(CgroupError::Create { source, .. })
                    if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(CgroupError::Create {
            path: root.join(self.path.as_path()),
            source: io::ErrorKind::NotFound.into(),
        })
    }

    /// Makes and locks the group and those above it in one hierarchy. `None`:
    /// one of them vanished meanwhile.
    fn try_claim(&self, root: &Path) -> Result<Option<Claim>, CgroupError> {
        let directory = root.join(self.path.as_path());
        let mut claim = Claim {
            directory: directory.clone(),
            made: Vec::new(),
            own: false,
            locks: Vec::new(),
        };
        let cpuset = self
            .hierarchy
            .v1
            .get(&Controller::Cpuset)
            .map(PathBuf::as_path)
            == Some(root);
        for parent in self.path.parents() {
            let parent = root.join(parent);
            if is_ours(&parent, Mark::Parent)? {
                // Others may be there, too, but not own it.
                let Some(lock) = mark::lock(&parent, Lock::Shared)? else {
                    return Ok(None);
                };
                claim.locks.push(lock);
                claim.made.push(self.hierarchy.held.existing(&parent));
            }
            if cpuset {
                v1::inherit_cpuset(&parent)?;
            }
        }
        claim.own = is_ours(&directory, Mark::Top)?;
        let Some(lock) = mark::lock(&directory, Lock::Exclusive)? else {
            return Ok(None);
        };
        if claim.own {
            // One that is left over may be of another kind.
            Mark::Top.set(&directory);
            fchmod(&lock, Mode::from_raw_mode(Mark::Top.mode())).map_err(|source| {
                CgroupError::Lock {
                    path: directory.clone(),
                    source: source.into(),
                }
            })?;
            claim.made.push(self.hierarchy.held.existing(&directory));
        }
        claim.locks.push(lock);
        if cpuset {
            v1::inherit_cpuset(&directory)?;
        }
        Ok(Some(claim))
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

    /// Removes the group, as far as this daemon or one that was killed made it,
    /// and those above that are empty then.
    ///
    /// # Errors
    ///
    /// A group that still has children or processes after
    /// [`REMOVAL_DEADLINE`].
    pub fn remove(self) -> Result<(), CgroupError> {
        let started = Instant::now();
        self.claims
            .iter()
            .filter(|claim| claim.own)
            .map(|claim| lifecycle::remove(&claim.directory, started, REMOVAL_DEADLINE))
            .fold(Ok(()), Result::and)
    }
}

/// Makes a group with a mark if it is missing, and says whether it is ours to
/// remove: because it is new, or because a daemon has left it.
fn is_ours(directory: &Path, mark: Mark) -> Result<bool, CgroupError> {
    if mark.make(directory)? {
        return Ok(true);
    }
    match Mark::of(directory) {
        Some(Mark::Top | Mark::Parent) => Ok(true),
        None => Ok(false),
        Some(Mark::Container) => Err(CgroupError::Foreign {
            path: directory.to_owned(),
        }),
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
