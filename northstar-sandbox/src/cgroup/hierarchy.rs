//! What control groups this system offers, and where.

use super::held::Held;
use super::{CgroupError, file};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// A resource the kernel can control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// Processor time.
    Cpu,
    /// Accounting of processor time (version 1 only; part of cpu on version 2).
    Cpuacct,
    /// Placement on processors and memory nodes.
    Cpuset,
    /// Memory.
    Memory,
    /// Block devices (`blkio` on version 1).
    Io,
    /// Number of processes.
    Pids,
    /// Access to device nodes.
    Devices,
    /// Stopping all processes at once.
    Freezer,
}

impl Controller {
    const ALL: [Controller; 8] = [
        Controller::Cpu,
        Controller::Cpuacct,
        Controller::Cpuset,
        Controller::Memory,
        Controller::Io,
        Controller::Pids,
        Controller::Devices,
        Controller::Freezer,
    ];

    /// The name version 1 mounts it by.
    const fn v1_name(self) -> &'static str {
        match self {
            Controller::Io => "blkio",
            other => other.name(),
        }
    }

    /// The name in `cgroup.controllers` of version 2.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Cpuacct => "cpuacct",
            Controller::Cpuset => "cpuset",
            Controller::Memory => "memory",
            Controller::Io => "io",
            Controller::Pids => "pids",
            Controller::Devices => "devices",
            Controller::Freezer => "freezer",
        }
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Which versions of control groups are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// None that could be written to.
    None,
    /// Version 1 only.
    V1,
    /// Version 2 only.
    V2,
    /// Controllers on version 1, and a version 2 tree beside them.
    Hybrid,
}

/// The mounted hierarchies.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    /// Mount point of version 2.
    pub(super) unified: Option<PathBuf>,
    /// Controllers version 2 offers at its root.
    pub(super) unified_controllers: BTreeSet<Controller>,
    /// Mount points of version 1; controllers may share one.
    pub(super) v1: BTreeMap<Controller, PathBuf>,
    /// Groups of this process.
    pub(super) held: Held,
}

impl Hierarchy {
    /// Looks at the mounts of the calling process.
    ///
    /// # Errors
    ///
    /// `/proc/self/mountinfo` or the controllers of version 2 cannot be read.
    pub fn detect() -> Result<Hierarchy, CgroupError> {
        Hierarchy::from_mountinfo(&file::read(Path::new("/proc/self"), "mountinfo")?)
    }

    /// Takes the mounts listed in a `mountinfo`.
    ///
    /// # Errors
    ///
    /// The controllers of version 2 cannot be read.
    pub fn from_mountinfo(mountinfo: &str) -> Result<Hierarchy, CgroupError> {
        let mut hierarchy = parse(mountinfo);
        if let Some(root) = &hierarchy.unified {
            hierarchy.unified_controllers = controllers(&file::read(root, "cgroup.controllers")?);
        }
        Ok(hierarchy)
    }

    /// Which versions are mounted.
    #[must_use]
    pub fn version(&self) -> Version {
        match (self.unified.is_some(), self.v1.is_empty()) {
            (false, true) => Version::None,
            (false, false) => Version::V1,
            (true, true) => Version::V2,
            (true, false) => Version::Hybrid,
        }
    }

    /// Whether limits of a controller can be applied.
    #[must_use]
    pub fn has(&self, controller: Controller) -> bool {
        self.v1.contains_key(&controller) || self.unified_has(controller)
    }

    /// Whether version 2 provides a controller, and version 1 does not.
    pub(super) fn unified_has(&self, controller: Controller) -> bool {
        if self.v1.contains_key(&controller) {
            return false;
        }
        match controller {
            // Neither is listed there: devices are restricted by a program,
            // every group can be frozen, and cpu accounts always.
            Controller::Devices | Controller::Freezer | Controller::Cpuacct => {
                self.unified.is_some()
            }
            listed => self.unified_controllers.contains(&listed),
        }
    }

    /// The controllers that are missing, of those a container's limits use.
    #[must_use]
    pub fn missing(&self) -> Vec<Controller> {
        [
            Controller::Cpu,
            Controller::Cpuset,
            Controller::Memory,
            Controller::Io,
            Controller::Pids,
            Controller::Devices,
        ]
        .into_iter()
        .filter(|controller| !self.has(*controller))
        .collect()
    }

    /// Every root of a hierarchy, each once.
    pub(super) fn roots(&self) -> BTreeSet<&Path> {
        self.v1
            .values()
            .chain(&self.unified)
            .map(PathBuf::as_path)
            .collect()
    }
}

/// Parses the content of `cgroup.controllers` or `cgroup.subtree_control`.
pub(super) fn controllers(text: &str) -> BTreeSet<Controller> {
    let named = |name: &str| {
        Controller::ALL
            .into_iter()
            .find(|controller| controller.name() == name)
    };
    text.split_whitespace().filter_map(named).collect()
}

/// Finds the hierarchies in a `mountinfo` (proc_pid_mountinfo(5)).
///
/// A hierarchy that is mounted read-only cannot hold groups of ours and counts
/// as absent. Of several mounts of the same hierarchy the first is taken.
fn parse(mountinfo: &str) -> Hierarchy {
    let mut hierarchy = Hierarchy {
        unified: None,
        unified_controllers: BTreeSet::new(),
        v1: BTreeMap::new(),
        held: Held::default(),
    };
    for mount in mountinfo.lines().filter_map(Mount::parse) {
        if mount.read_only {
            continue;
        }
        match mount.kind {
            "cgroup2" => {
                hierarchy.unified.get_or_insert(mount.target);
            }
            "cgroup" => {
                for controller in Controller::ALL {
                    if mount
                        .options
                        .split(',')
                        .any(|option| option == controller.v1_name())
                    {
                        hierarchy
                            .v1
                            .entry(controller)
                            .or_insert_with(|| mount.target.clone());
                    }
                }
            }
            _ => {}
        }
    }
    hierarchy
}

/// The part of a line of `mountinfo` that matters here.
struct Mount<'a> {
    target: PathBuf,
    read_only: bool,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Mount<'a>> {
        let (mount, superblock) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(4);
        let (target, flags) = (mount.next()?, mount.next()?);
        let mut superblock = superblock.split(' ');
        let (kind, options) = (superblock.next()?, superblock.nth(1)?);
        let is_ro = |options: &str| options.split(',').any(|option| option == "ro");
        Some(Mount {
            target: PathBuf::from(unescape(target)),
            read_only: is_ro(flags) || is_ro(options),
            kind,
            options,
        })
    }
}

/// Undoes the octal escapes of `mountinfo`: `\040` and the like.
fn unescape(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        result.push_str(before);
        let code = after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (code, after.get(3..)) {
            (Some(code), Some(after)) => {
                result.push(char::from(code));
                rest = after;
            }
            _ => {
                result.push('\\');
                rest = after;
            }
        }
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
34 31 0:31 / /sys/fs/cgroup/blk\\040io rw - cgroup cgroup rw,blkio
35 31 0:32 / /sys/fs/cgroup/pids ro,nosuid - cgroup cgroup rw,pids
36 31 0:33 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
37 31 0:34 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices
38 31 0:34 / /elsewhere rw - cgroup cgroup rw,devices
";
    const UNIFIED: &str =
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn version_1_is_found() {
        let hierarchy = parse(V1);
        assert_eq!(hierarchy.version(), Version::V1);
        let place = |controller| hierarchy.v1.get(&controller).and_then(|path| path.to_str());
        assert_eq!(place(Controller::Cpu), Some("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(
            place(Controller::Cpuacct),
            Some("/sys/fs/cgroup/cpu,cpuacct")
        );
        assert_eq!(place(Controller::Io), Some("/sys/fs/cgroup/blk io"));
        assert_eq!(place(Controller::Devices), Some("/sys/fs/cgroup/devices"));
        assert_eq!(place(Controller::Pids), None, "read-only");
        assert_eq!(hierarchy.missing(), [Controller::Cpuset, Controller::Pids]);
    }

    #[test]
    fn version_2_is_found() {
        let mut hierarchy = parse(UNIFIED);
        assert_eq!(hierarchy.version(), Version::V2);
        hierarchy.unified_controllers =
            controllers("cpuset cpu io memory hugetlb pids rdma misc\n");
        assert_eq!(hierarchy.missing(), []);
        assert!(hierarchy.unified_has(Controller::Devices));
    }

    #[test]
    fn a_hybrid_prefers_version_1() {
        let mut hierarchy = parse(&format!("{V1}{UNIFIED}"));
        hierarchy.unified_controllers = controllers("pids\n");
        assert_eq!(hierarchy.version(), Version::Hybrid);
        assert!(!hierarchy.unified_has(Controller::Memory));
        assert!(!hierarchy.unified_has(Controller::Devices));
        assert!(hierarchy.unified_has(Controller::Pids));
        assert_eq!(hierarchy.roots().len(), 5);
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        for text in [
            "",
            "\n\n",
            "garbage",
            "1 2 3 - cgroup2",
            "a b c d e f g - cgroup",
        ] {
            let hierarchy = parse(text);
            assert_eq!(hierarchy.version(), Version::None, "{text:?}");
            assert_eq!(hierarchy.missing().len(), 6);
        }
    }

    #[test]
    fn escapes_are_undone() {
        for (escaped, plain) in [
            ("a", "a"),
            ("a\\040b", "a b"),
            ("\\134", "\\"),
            ("\\", "\\"),
            ("a\\9", "a\\9"),
        ] {
            assert_eq!(unescape(escaped), plain);
        }
    }
}
