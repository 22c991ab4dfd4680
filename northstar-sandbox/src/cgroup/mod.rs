//! Control groups: limits, events, statistics and the end of all processes of
//! a container, on version 1, version 2 and hybrids of both.
//!
//! Each value is set through the `cgroups-rs` crate where its setter does what
//! it says, else by writing the file, and is read back in any case. A limit
//! that cannot be applied exactly is an error: no container starts with less
//! confinement than its manifest asks for. Only what a manifest does *not* ask
//! for (the default limit on processes, the devices) may be off, on a system
//! that lacks the controller; [`Cgroup::off`] says so.
//!
//! Order of use: [`create`] makes the group and sets all limits, then
//! [`Cgroup::add`] puts the container's init in, before its first program
//! runs. Everything here blocks; removal and killing on version 1 do for
//! noticeable time.

pub mod devices;
mod error;
mod events;
mod file;
mod hierarchy;
mod lifecycle;
mod limits;
mod path;
mod plan;
mod realtime;
mod statistics;
mod top;
mod v1;
mod v2;

pub use error::CgroupError;
pub use events::{MemoryEvents, MemoryMonitor};
pub use hierarchy::{Controller, Hierarchy, Version};
pub use lifecycle::REMOVAL_DEADLINE;
pub use plan::{
    CgroupPlan, CpuPlan, DEFAULT_PIDS_MAX, DeviceWeight, DevicesPlan, IoPlan, MemoryPlan, Throttle,
    cpu_weight, io_weight,
};
pub use statistics::{CpuStatistics, IoStatistics, MemoryStatistics, PidsStatistics, Statistics};
pub use top::{TopGroup, remove_tree};

use path::GroupPath;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The control group of one container.
///
/// Dropping it tries once to remove it and leaves a populated group alone; the
/// normal end is [`Cgroup::kill`] and [`Cgroup::destroy`].
#[derive(Debug)]
pub struct Cgroup {
    path: GroupPath,
    /// Directory on version 2, also on hybrids: there it holds no limits, but
    /// can be killed at once.
    unified: Option<PathBuf>,
    /// Controllers in force on version 2.
    controllers: BTreeSet<Controller>,
    /// Directories on version 1; co-mounted controllers share one.
    v1: BTreeMap<Controller, PathBuf>,
    /// Controllers whose defaults could not be applied.
    off: Vec<Controller>,
    /// Directories of groups above that this one made, the outermost first.
    parents: Vec<PathBuf>,
}

/// Makes a group with all limits of a plan, empty.
///
/// `path` is relative to the root of the hierarchies. Groups above it are made
/// if they are missing. A group of that name that is left over and empty is
/// replaced.
///
/// # Errors
///
/// Any limit that cannot be applied; nothing is left behind then. A group of
/// that name with processes in it.
pub fn create(
    hierarchy: &Hierarchy,
    path: &Path,
    plan: &CgroupPlan,
) -> Result<Cgroup, CgroupError> {
    limits::check_available(hierarchy, plan)?;
    let path = GroupPath::new(path)?;
    let needed: BTreeSet<Controller> = limits::needed(plan)
        .into_iter()
        .map(|(controller, _)| controller)
        .collect();
    let roots = v1_roots(hierarchy, &needed);
    let in_root = |root: &PathBuf| root.join(path.as_path());
    let mut group = Cgroup {
        unified: None,
        controllers: BTreeSet::new(),
        v1: BTreeMap::new(),
        off: Vec::new(),
        parents: Vec::new(),
        path: path.clone(),
    };

    // From here on the group's own Drop undoes what was made.
    for (controller, root) in &roots {
        let directory = in_root(root);
        if !group.v1.values().any(|known| *known == directory) {
            let inherits = *controller == Controller::Cpuset;
            make_group(root, &path, &mut group.parents, |directory| {
                if inherits {
                    v1::inherit_cpuset(directory)
                } else {
                    Ok(())
                }
            })?;
        }
        group.v1.insert(*controller, directory);
    }
    if let Some(root) = &hierarchy.unified {
        let on_unified = needed
            .iter()
            .copied()
            .filter(|controller| hierarchy.unified_has(*controller));
        let listed: BTreeSet<Controller> = on_unified
            .filter(|controller| hierarchy.unified_controllers.contains(controller))
            .collect();
        make_parents(root, &path, &mut group.parents, |_| Ok(()))?;
        v2::enable(root, &path, &listed)?;
        make_group(root, &path, &mut group.parents, |_| Ok(()))?;
        let directory = in_root(root);
        group.controllers = hierarchy::controllers(&file::read(&directory, "cgroup.controllers")?);
        group.controllers.extend(
            [Controller::Devices]
                .into_iter()
                .filter(|controller| hierarchy.unified_has(*controller)),
        );
        group.unified = Some(directory);
    }

    v1::apply(&group.v1, &roots, plan)?;
    if let Some(directory) = &group.unified {
        match v2::apply(directory, &group.controllers, plan) {
            // A kernel without such programs: nobody asked, so it is reported.
            Err(CgroupError::Devices { .. }) if !plan.devices.required => {
                group.controllers.remove(&Controller::Devices);
            }
            result => result?,
        }
    }
    group.off = [Controller::Pids, Controller::Devices]
        .into_iter()
        .filter(|controller| {
            !group.v1.contains_key(controller) && !group.controllers.contains(controller)
        })
        .collect();
    Ok(group)
}

/// The version 1 controllers a group is made in, with their mount points.
fn v1_roots(hierarchy: &Hierarchy, needed: &BTreeSet<Controller>) -> BTreeMap<Controller, PathBuf> {
    let realtime_groups = hierarchy
        .v1
        .get(&Controller::Cpu)
        .filter(|root| file::exists(root, "cpu.rt_runtime_us"));
    let kill_by_unified = hierarchy.unified.is_some();
    hierarchy
        .v1
        .iter()
        .filter(|(controller, root)| match controller {
            Controller::Memory | Controller::Io | Controller::Pids | Controller::Devices => true,
            // A cpu group without realtime time refuses realtime tasks on
            // kernels that have it: only where it is asked for.
            Controller::Cpu | Controller::Cpuacct => {
                Some(*root) != realtime_groups || needed.contains(&Controller::Cpu)
            }
            Controller::Cpuset => needed.contains(&Controller::Cpuset),
            Controller::Freezer => !kill_by_unified,
        })
        .map(|(controller, root)| (*controller, root.clone()))
        .collect()
}

/// Makes a directory; says whether it is new.
fn make_directory(directory: &Path) -> Result<bool, CgroupError> {
    match fs::create_dir(directory) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(CgroupError::Create {
            path: directory.to_owned(),
            source,
        }),
    }
}

fn make_parents(
    root: &Path,
    path: &GroupPath,
    made: &mut Vec<PathBuf>,
    prepare: impl Fn(&Path) -> Result<(), CgroupError>,
) -> Result<(), CgroupError> {
    for parent in path.parents() {
        let directory = root.join(parent);
        if make_directory(&directory)? {
            made.push(directory.clone());
        }
        prepare(&directory)?;
    }
    Ok(())
}

/// Makes a group that did not exist before, and the groups above it.
fn make_group(
    root: &Path,
    path: &GroupPath,
    made: &mut Vec<PathBuf>,
    prepare: impl Fn(&Path) -> Result<(), CgroupError>,
) -> Result<(), CgroupError> {
    make_parents(root, path, made, &prepare)?;
    let directory = root.join(path.as_path());
    if !make_directory(&directory)? {
        // Left over: an old group has old limits, so it is not used again.
        let pids = lifecycle::processes(&directory)?;
        if !pids.is_empty() {
            return Err(CgroupError::InUse {
                path: directory,
                pids,
            });
        }
        lifecycle::remove(&directory, Instant::now(), Duration::ZERO)?;
        if !make_directory(&directory)? {
            let source = io::ErrorKind::AlreadyExists.into();
            return Err(CgroupError::Create {
                path: directory,
                source,
            });
        }
    }
    prepare(&directory)
}

impl Cgroup {
    /// Where the group is, relative to the root of each hierarchy.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.path.as_path()
    }

    /// Controllers of defaults that are not in force on this system.
    #[must_use]
    pub fn off(&self) -> &[Controller] {
        &self.off
    }

    /// The directories of the group, each once.
    fn directories(&self) -> BTreeSet<&Path> {
        self.v1
            .values()
            .chain(&self.unified)
            .map(PathBuf::as_path)
            .collect()
    }

    /// Moves a process with all its threads into the group.
    ///
    /// # Errors
    ///
    /// The process is gone, or a controller refuses it.
    pub fn add(&self, pid: i32) -> Result<(), CgroupError> {
        if pid <= 0 {
            // 0 would mean the caller.
            return Err(CgroupError::Limit {
                limit: "pid",
                value: pid.to_string(),
                reason: "not a process id",
            });
        }
        self.directories()
            .into_iter()
            .try_for_each(|directory| file::write(directory, "cgroup.procs", &pid.to_string()))
    }

    /// The processes in the group.
    ///
    /// # Errors
    ///
    /// A file of the group cannot be read.
    pub fn processes(&self) -> Result<BTreeSet<i32>, CgroupError> {
        let mut pids = BTreeSet::new();
        for directory in self.directories() {
            pids.extend(lifecycle::processes(directory)?);
        }
        Ok(pids)
    }

    /// Kills every process in the group. They may still be ending on return.
    ///
    /// # Errors
    ///
    /// A file of the group cannot be read or written.
    pub fn kill(&self) -> Result<(), CgroupError> {
        let freezer = self.v1.get(&Controller::Freezer).map(PathBuf::as_path);
        lifecycle::kill_all(self.unified.as_deref(), freezer, &self.directories())
    }

    /// Removes the group as soon as it is empty; blocks up to
    /// [`REMOVAL_DEADLINE`].
    ///
    /// # Errors
    ///
    /// [`CgroupError::Busy`] with the processes that are left.
    pub fn destroy(self) -> Result<(), CgroupError> {
        self.destroy_within(REMOVAL_DEADLINE)
    }

    /// [`destroy`](Cgroup::destroy) with a deadline of its own.
    ///
    /// # Errors
    ///
    /// As `destroy`.
    pub fn destroy_within(self, deadline: Duration) -> Result<(), CgroupError> {
        let started = Instant::now();
        // Drop removes the groups above, if they are empty then.
        self.directories()
            .into_iter()
            .map(|directory| lifecycle::remove(directory, started, deadline))
            .fold(Ok(()), Result::and)
    }

    /// What the group uses.
    ///
    /// # Errors
    ///
    /// A file of the group cannot be read.
    pub fn statistics(&self) -> Result<Statistics, CgroupError> {
        statistics::read(self)
    }

    /// The memory events so far; `None` without a memory controller.
    ///
    /// # Errors
    ///
    /// A file of the group cannot be read.
    pub fn memory_events(&self) -> Result<Option<MemoryEvents>, CgroupError> {
        events::read(self)
    }

    /// A descriptor to wait for memory events; `None` without a memory
    /// controller.
    ///
    /// # Errors
    ///
    /// The kernel refuses the watch.
    pub fn memory_monitor(&self) -> Result<Option<MemoryMonitor>, CgroupError> {
        MemoryMonitor::new(self)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Best effort, and harmless: a group with processes cannot be removed.
        for directory in self.directories() {
            let _ = fs::remove_dir(directory);
        }
        for directory in self.parents.iter().rev() {
            let _ = fs::remove_dir(directory);
        }
    }
}
