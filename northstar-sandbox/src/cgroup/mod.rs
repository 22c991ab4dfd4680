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
//! Order of use: [`make`] makes the group, [`Cgroup::limit`] sets the limits; the
//! container's init is born in it on version 2 and joins it on version 1
//! ([`Cgroup::entrance`]); [`Cgroup::deny_devices`] is the last limit, when init
//! has made its device nodes and before the first program runs. [`create()`] and
//! [`Cgroup::add`] are for those who do not hurry.
//! Everything here blocks; removal and killing on version 1 do for noticeable
//! time.

mod create;
pub mod devices;
mod error;
mod events;
mod file;
mod held;
mod hierarchy;
mod lifecycle;
mod limits;
mod mark;
mod path;
mod plan;
mod realtime;
mod statistics;
mod top;
mod v1;
mod v1_io;
mod v2;
mod v2_io;

pub use create::{create, make};
pub use error::CgroupError;
pub use events::{MemoryEvents, MemoryMonitor};
pub use hierarchy::{Controller, Hierarchy, Version};
pub use lifecycle::REMOVAL_DEADLINE;
pub use path::container_path;
pub use plan::{
    CgroupPlan, CpuPlan, DEFAULT_PIDS_MAX, DeviceWeight, DevicesPlan, IoPlan, MemoryPlan, Throttle,
    cpu_weight, io_weight,
};
pub use statistics::{CpuStatistics, IoStatistics, MemoryStatistics, PidsStatistics, Statistics};
pub use top::{TopGroup, remove_tree};

use held::Hold;
use path::GroupPath;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
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
    /// Realtime policies are to stay possible.
    realtime: bool,
    /// The group's directories and those above that were missing, the outermost
    /// first in each hierarchy.
    holds: Vec<Hold>,
}

/// Ways into a group.
#[derive(Debug)]
pub struct Entrance {
    /// The directory on version 2, for a process that is to be born in it (clone3(2),
    /// `CLONE_INTO_CGROUP`).
    pub directory: Option<OwnedFd>,
    /// The files `tasks` on version 1: a thread that writes `0` joins.
    pub tasks: Vec<OwnedFd>,
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

    /// What a process needs to be in the group without the wait that [`Cgroup::add`] is.
    ///
    /// # Errors
    ///
    /// A file of the group cannot be opened.
    pub fn entrance(&self) -> Result<Entrance, CgroupError> {
        let open = |file: PathBuf, options: &OpenOptions| match options.open(&file) {
            Ok(open) => Ok(OwnedFd::from(open)),
            Err(source) => Err(CgroupError::Read { file, source }),
        };
        let (mut read, mut write) = (OpenOptions::new(), OpenOptions::new());
        let (read, write) = (read.read(true), write.write(true));
        let v1 = self.v1.values().collect::<BTreeSet<_>>();
        let tasks = v1.into_iter().map(|path| open(path.join("tasks"), write));
        let directory = self.unified.as_ref().map(|path| open(path.clone(), read));
        Ok(Entrance {
            directory: directory.transpose()?,
            tasks: tasks.collect::<Result<_, _>>()?,
        })
    }

    /// Moves a process with all its threads into the group. Takes milliseconds, in which the kernel
    /// waits until every processor has come around.
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
        while let Some(hold) = self.holds.pop() {
            drop(hold);
        }
    }
}
