//! What a daemon keeps in the kernel, read from /proc and /sys: used to show that it is there while a container
//! runs and gone afterwards. Only what belongs to the demonstration counts.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How to recognise what belongs to the demonstration.
#[derive(Debug)]
pub struct Marks {
    /// The folder of everything, which nothing else uses.
    pub folder: PathBuf,
    /// Name of the daemon's control group.
    pub cgroup: String,
    /// Device-mapper devices that were there before.
    pub mapped_before: Vec<String>,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Traces {
    processes: usize,
    mounts: usize,
    loop_devices: usize,
    mapped_devices: usize,
    cgroups: usize,
}

impl fmt::Display for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processes,
            mounts,
            loop_devices,
            mapped_devices,
            cgroups,
        } = self;
        write!(
            f,
            "{processes} processes, {mounts} mounts, {loop_devices} loop devices, \
             {mapped_devices} device-mapper devices, {cgroups} cgroups"
        )
    }
}

impl Traces {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is still there after the daemon has ended, and this time for the kernel to let go of it.
    pub fn left(marks: &Marks, grace: Duration) -> Self {
        let deadline = Instant::now() + grace;
        loop {
            let left = Self::find(marks, None);
            if left.is_empty() || Instant::now() > deadline {
                return left;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Looks for everything. Mounts are looked for in the mount namespace of `pid`, or here.
    pub fn find(marks: &Marks, pid: Option<u32>) -> Self {
        let namespace = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
        let mountinfo = Path::new("/proc").join(namespace).join("mountinfo");
        let folder = marks.folder.to_string_lossy();
        let mounts = fs::read_to_string(mountinfo).unwrap_or_default();
        Self {
            processes: entries("/proc")
                .iter()
                .filter(|path| is_ours(path, marks))
                .count(),
            mounts: mounts
                .lines()
                .filter(|line| line.contains(&*folder))
                .count(),
            loop_devices: entries("/sys/block")
                .iter()
                .filter_map(|device| fs::read_to_string(device.join("loop/backing_file")).ok())
                .filter(|backing| Path::new(backing.trim()).starts_with(&marks.folder))
                .count(),
            mapped_devices: mapped_devices()
                .iter()
                .filter(|name| !marks.mapped_before.contains(name))
                .count(),
            cgroups: count_cgroups(Path::new("/sys/fs/cgroup"), &marks.cgroup, 3),
        }
    }
}

/// Names of all device-mapper devices.
pub fn mapped_devices() -> Vec<String> {
    entries("/sys/block")
        .iter()
        .filter_map(|device| fs::read_to_string(device.join("dm/name")).ok())
        .collect()
}

/// Daemon, forker and inits run a program from our folder; payloads are in a control group of ours.
fn is_ours(process: &Path, marks: &Marks) -> bool {
    let program = fs::read_link(process.join("exe")).unwrap_or_default();
    let cgroup = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
    let is_number = process
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
    is_number && (program.starts_with(&marks.folder) || cgroup.contains(&marks.cgroup))
}

/// Control groups with this name, and those in them. Hierarchies lie up to `depth` folders down.
fn count_cgroups(folder: &Path, name: &str, depth: usize) -> usize {
    let folders = entries(folder)
        .into_iter()
        .filter(|path| path.is_dir() && !path.is_symlink());
    folders
        .map(|path| {
            if path.ends_with(name) {
                1 + count_folders(&path)
            } else if depth > 0 {
                count_cgroups(&path, name, depth - 1)
            } else {
                0
            }
        })
        .sum()
}

fn count_folders(folder: &Path) -> usize {
    let folders = entries(folder).into_iter().filter(|path| path.is_dir());
    folders.map(|path| 1 + count_folders(&path)).sum()
}

fn entries(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .map(|entries| {
            entries
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .collect()
        })
        .unwrap_or_default()
}
