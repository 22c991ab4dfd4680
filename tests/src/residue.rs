//! What a daemon leaves behind: processes, mounts, loop devices, device-mapper devices and control groups that
//! belong to one test directory. Everything is read from `/proc` and `/sys`; foreign devices do not count.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// What of a test's daemon exists at one moment. Empty after a clean end.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Residue {
    /// Process ids, of those that [`Tracked::processes`] named, that still run.
    pub processes: BTreeSet<i32>,
    /// Mount points below the test directory, in the mount namespace of this process.
    pub mounts: Vec<PathBuf>,
    /// Loop devices backed by a file below the test directory, or by a sealed memory file of the daemon.
    pub loop_devices: BTreeSet<String>,
    /// Device-mapper devices whose name carries the daemon's prefix.
    pub mapped_devices: BTreeSet<String>,
    /// Control group directories with the test's group name, in any hierarchy.
    pub control_groups: Vec<PathBuf>,
}

impl Residue {
    /// True if nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Identifies everything that belongs to one daemon, so that it can be looked for after the daemon is gone.
#[derive(Debug, Clone)]
pub struct Tracked {
    /// Process id and start time (clock ticks since boot), because ids are used again.
    pub processes: BTreeMap<i32, u64>,
    /// The test directory.
    pub directory: PathBuf,
    /// The name of the top-level control group.
    pub control_group: String,
    /// The loop and device-mapper devices that existed before the daemon did.
    pub before: DevicesBefore,
}

/// Devices that existed before the daemon was started.
#[derive(Debug, Clone, Default)]
pub struct DevicesBefore {
    loops: BTreeSet<String>,
    mapped: BTreeSet<String>,
}

impl DevicesBefore {
    /// Records the devices that are in use now.
    #[must_use]
    pub fn record() -> Self {
        Self {
            loops: attached_loops().into_keys().collect(),
            mapped: mapped_devices(),
        }
    }
}

impl Tracked {
    /// Looks for everything that is still there.
    #[must_use]
    pub fn residue(&self) -> Residue {
        let alive = |(pid, start): (&i32, &u64)| (start_time(*pid) == Some(*start)).then_some(*pid);
        Residue {
            processes: self.processes.iter().filter_map(alive).collect(),
            mounts: mounts_below(Path::new("/proc/self/mountinfo"), &self.directory),
            loop_devices: attached_loops()
                .into_iter()
                .filter(|(name, backing)| {
                    !self.before.loops.contains(name)
                        && (backing.starts_with(&self.directory) || is_memory_file(backing))
                })
                .map(|(name, _)| name)
                .collect(),
            mapped_devices: &mapped_devices() - &self.before.mapped,
            control_groups: control_groups(&self.control_group),
        }
    }

    /// Waits until nothing is left, at most for `limit`; returns what is left then.
    #[must_use]
    pub fn settle(&self, limit: Duration) -> Residue {
        let deadline = Instant::now() + limit;
        loop {
            let residue = self.residue();
            if residue.is_empty() || Instant::now() >= deadline {
                return residue;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The process and all its descendants with their start times.
#[must_use]
pub fn process_tree(root: i32) -> BTreeMap<i32, u64> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for pid in all_pids() {
        if let Some(parent) = parent_of(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut tree = BTreeMap::new();
    let mut queue = vec![root];
    while let Some(pid) = queue.pop() {
        if let Some(start) = start_time(pid) {
            tree.insert(pid, start);
        }
        queue.extend(children.remove(&pid).unwrap_or_default());
    }
    tree
}

/// Children of `pid` whose command name is `name`.
#[must_use]
pub fn children_named(pid: i32, name: &str) -> Vec<i32> {
    all_pids()
        .into_iter()
        .filter(|child| parent_of(*child) == Some(pid))
        .filter(|child| {
            fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|comm| comm.trim() == name)
        })
        .collect()
}

/// Mount points below `directory` in a mountinfo file.
#[must_use]
pub fn mounts_below(mountinfo: &Path, directory: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(mountinfo).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|target| PathBuf::from(target.replace("\\040", " ")))
        .filter(|target| target.starts_with(directory))
        .collect()
}

/// Loop devices that are attached, with their backing files.
#[must_use]
pub fn attached_loops() -> BTreeMap<String, PathBuf> {
    let mut loops = BTreeMap::new();
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Ok(backing) = fs::read_to_string(entry.path().join("loop/backing_file")) {
            loops.insert(name, PathBuf::from(backing.trim_end()));
        }
    }
    loops
}

/// Names of all device-mapper devices of the daemon.
#[must_use]
pub fn mapped_devices() -> BTreeSet<String> {
    fs::read_dir("/sys/block")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("dm/name")).ok())
        .map(|name| name.trim_end().to_owned())
        .filter(|name| name.starts_with("northstar"))
        .collect()
}

/// Directories called `group` at the top of any control group hierarchy.
fn control_groups(group: &str) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let target = line.split(' ').nth(4)?;
            let kind = line.split(" - ").nth(1)?;
            kind.starts_with("cgroup")
                .then(|| Path::new(target).join(group))
        })
        .filter(|path| path.is_dir())
        .collect()
}

fn is_memory_file(backing: &Path) -> bool {
    backing.to_string_lossy().starts_with("/memfd:")
}

fn all_pids() -> Vec<i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Field `index` of `/proc/PID/stat`, counted as in proc(5) from 1, for fields after the command name.
fn stat_field(pid: i32, index: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = stat.rsplit_once(") ")?.1;
    rest.split(' ').nth(index - 3).map(str::to_owned)
}

fn parent_of(pid: i32) -> Option<i32> {
    stat_field(pid, 4)?.parse().ok()
}

/// Start time of a process that is not a zombie.
fn start_time(pid: i32) -> Option<u64> {
    if stat_field(pid, 3)? == "Z" {
        return None;
    }
    stat_field(pid, 22)?.parse().ok()
}
