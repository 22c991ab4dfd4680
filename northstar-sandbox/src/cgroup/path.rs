//! Paths of groups relative to the root of a hierarchy.

use super::CgroupError;
use std::path::{Component, Path, PathBuf};

/// A checked path: one or more plain names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupPath(PathBuf);

impl GroupPath {
    /// Accepts `a/b` and `/a/b`, both relative to the root of the hierarchy.
    pub(super) fn new(path: &Path) -> Result<GroupPath, CgroupError> {
        let refuse = |reason| {
            Err(CgroupError::Path {
                path: path.to_owned(),
                reason,
            })
        };
        let mut result = PathBuf::new();
        for component in path.components() {
            match component {
                Component::RootDir => {}
                Component::Normal(name) => match name.to_str() {
                    Some(name) if is_control_file(name) => {
                        return refuse("a name in it is that of a control file");
                    }
                    Some(name) if is_plain(name) => result.push(name),
                    _ => return refuse("a name in it is not made of letters, digits and ._@:-"),
                },
                _ => return refuse("it must not contain . or .."),
            }
        }
        if result.as_os_str().is_empty() {
            return refuse("it is empty");
        }
        Ok(GroupPath(result))
    }

    pub(super) fn as_path(&self) -> &Path {
        &self.0
    }

    /// The groups above this one, the outermost first.
    pub(super) fn parents(&self) -> Vec<&Path> {
        let mut parents: Vec<&Path> = self
            .0
            .ancestors()
            .skip(1)
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
        parents.reverse();
        parents
    }

    /// Whether this group is `top` or below it.
    pub(super) fn is_within(&self, top: &GroupPath) -> bool {
        self.0.starts_with(&top.0)
    }
}

/// Where the group of a container is: in the group `parent` of its manifest,
/// or in the daemon's own group `top`. All paths are relative to the root of the
/// hierarchies. A container that has the name of a control file has a group
/// with a `_` in front, which no name of a container begins with.
///
/// # Errors
///
/// A path with an odd name in it. A parent that leads to where another
/// container's group is or may be, which is anything below `top`, or to `top` or
/// above.
pub fn container_path(
    top: &Path,
    parent: Option<&Path>,
    name: &str,
) -> Result<PathBuf, CgroupError> {
    let top = GroupPath::new(top)?;
    let parent = match parent {
        Some(parent) => GroupPath::new(parent)?,
        None => top.clone(),
    };
    let group = if is_control_file(name) {
        format!("_{name}")
    } else {
        name.to_owned()
    };
    let group = GroupPath::new(&parent.0.join(group))?;
    let below_top = parent != top && parent.is_within(&top);
    if below_top || top.is_within(&group) {
        return Err(CgroupError::Path {
            path: group.0,
            reason: "the place is the daemon's or another container's",
        });
    }
    Ok(group.0)
}

/// A name that is not special.
fn is_plain(name: &str) -> bool {
    let first = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    first
        && name.len() <= 255
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._@:-".contains(&byte))
}

/// A name that a file of the kernel has in every group, or may have: those of
/// controllers start with their name and a dot.
fn is_control_file(name: &str) -> bool {
    const PREFIXES: &[&str] = &[
        "cgroup.",
        "cpu.",
        "cpuacct.",
        "cpuset.",
        "memory.",
        "io.",
        "blkio.",
        "pids.",
        "devices.",
        "freezer.",
        "hugetlb.",
        "rdma.",
        "misc.",
        "net_cls.",
        "net_prio.",
        "perf_event.",
        "irq.",
    ];
    /// Of version 1.
    const OTHERS: &[&str] = &["tasks", "notify_on_release", "release_agent"];
    OTHERS.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_accepted() {
        for (path, expected) in [
            ("northstar", "northstar"),
            ("/northstar/hello-world", "northstar/hello-world"),
            (
                "system.slice/northstar.service/a_b@1:2",
                "system.slice/northstar.service/a_b@1:2",
            ),
            ("a//b/", "a/b"),
        ] {
            assert_eq!(
                GroupPath::new(Path::new(path)).unwrap().as_path(),
                Path::new(expected)
            );
        }
    }

    #[test]
    fn other_paths_are_refused() {
        let long = "a".repeat(256);
        for path in [
            "",
            "/",
            "..",
            "../a",
            "a/..",
            "a/../b",
            "./a",
            "a b",
            "a\n",
            "-a",
            ".a",
            "cgroup.procs",
            "a/memory.max",
            "tasks",
            "release_agent/a",
            "a/b\u{e9}",
            &long,
        ] {
            match GroupPath::new(Path::new(path)) {
                Err(CgroupError::Path { path: refused, .. }) => {
                    assert_eq!(refused, Path::new(path))
                }
                other => panic!("{path:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn parents_come_outermost_first() {
        let path = GroupPath::new(Path::new("a/b/c")).unwrap();
        assert_eq!(path.parents(), [Path::new("a"), Path::new("a/b")]);
    }

    #[test]
    fn a_container_stays_out_of_the_places_of_others() {
        let place = |top: &str, parent: Option<&str>, name: &str| {
            container_path(Path::new(top), parent.map(Path::new), name)
        };
        for (top, parent, expected) in [
            ("northstar", None, "northstar/a"),
            ("/x/northstar", None, "x/northstar/a"),
            ("northstar", Some("northstar"), "northstar/a"),
            ("northstar", Some("/northstar/"), "northstar/a"),
            ("northstar", Some("host/group"), "host/group/a"),
            ("northstar", Some("northstar2"), "northstar2/a"),
            ("x/northstar", Some("x"), "x/a"),
        ] {
            assert_eq!(place(top, parent, "a").unwrap(), Path::new(expected));
        }
        for (name, group) in [("cpu.load", "_cpu.load"), ("tasks", "_tasks")] {
            let expected = Path::new("northstar").join(group);
            assert_eq!(place("northstar", None, name).unwrap(), expected);
        }
        for (top, parent, name, refused) in [
            ("northstar", Some("northstar/b"), "a", "northstar/b/a"),
            ("northstar", Some("northstar//b/c"), "a", "northstar/b/c/a"),
            ("x/northstar", Some("x"), "northstar", "x/northstar"),
            ("x/y/northstar", Some("x"), "y", "x/y"),
        ] {
            match place(top, parent, name) {
                Err(CgroupError::Path { path, .. }) => assert_eq!(path, Path::new(refused)),
                other => panic!("{other:?}"),
            }
        }
        for parent in ["northstar/./../b", "northstar/../northstar/b", ""] {
            match place("northstar", Some(parent), "a") {
                Err(CgroupError::Path { path, .. }) => assert_eq!(path, Path::new(parent)),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn containment_is_by_component() {
        let path = |text: &str| GroupPath::new(Path::new(text)).unwrap();
        assert!(path("a/b").is_within(&path("a")));
        assert!(path("a").is_within(&path("a")));
        assert!(!path("ab").is_within(&path("a")));
        assert!(!path("a").is_within(&path("a/b")));
    }
}
