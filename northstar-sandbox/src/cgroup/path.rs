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

/// A name that neither is special nor collides with a control file, all of
/// which start with the name of a controller and a dot.
fn is_plain(name: &str) -> bool {
    const CONTROL_FILES: &[&str] = &[
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
    let first = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    first
        && name.len() <= 255
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._@:-".contains(&byte))
        && !CONTROL_FILES.iter().any(|prefix| name.starts_with(prefix))
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
    fn containment_is_by_component() {
        let path = |text: &str| GroupPath::new(Path::new(text)).unwrap();
        assert!(path("a/b").is_within(&path("a")));
        assert!(path("a").is_within(&path("a")));
        assert!(!path("ab").is_within(&path("a")));
        assert!(!path("a").is_within(&path("a/b")));
    }
}
