//! What the sandbox reads of control groups: the mounts of a process, and the paths of manifests.
//!
//! The input is the length of a path (1 byte), the path, then the text of a `mountinfo`.

use std::path::Path;

use northstar_sandbox::cgroup::{Hierarchy, container_path};

use super::{Target, leave};
use crate::memory;
use crate::recipe::Recipe;

/// Mounts and paths of control groups.
pub static TARGET: Target = Target {
    name: "groups",
    run,
    repair: leave,
    seeds,
    words: &[
        b"31 23 0:28 / /m/cpu rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n",
        b" - cgroup cgroup rw,memory\n",
        b" - cgroup2 cgroup2 rw\n",
        b" - ",
        b"\\040",
        b"\\777",
        b"\\1",
        b"/",
        b"..",
        b".",
        b"ro",
        b"northstar",
        b"cgroup.procs",
        b"memory.max",
    ],
    limit: 1024,
};

/// Most memory in bytes.
const LIMIT: usize = 256 * 1024;

const TOP: &str = "northstar";

fn run(input: &[u8]) {
    let mut recipe = Recipe::new(input);
    let size = recipe.byte();
    let Ok(path) = std::str::from_utf8(recipe.bytes(size.into())) else {
        return;
    };
    let parent = Some(Path::new(path));
    if let Ok(group) = container_path(Path::new(TOP), parent, "app") {
        // Below the root, outside of the daemon's groups unless directly in its own, and named like the container.
        assert!(group.is_relative() && group.ends_with("app"), "{group:?}");
        let is_plain = |part| matches!(part, std::path::Component::Normal(_));
        assert!(group.components().all(is_plain), "{group:?}");
        let below = group
            .strip_prefix(TOP)
            .map(|below| below.components().count());
        assert!(matches!(below, Err(_) | Ok(1)), "{group:?}");
    }
    let Ok(mountinfo) = std::str::from_utf8(recipe.rest()) else {
        return;
    };
    // Version 2 reads a file at the place that the text names; there is none below here.
    let mountinfo = mountinfo.replace(" /", " /proc/self/fdinfo/none/");
    let read = memory::bounded(LIMIT, || Hierarchy::from_mountinfo(&mountinfo));
    if let Ok(hierarchy) = read {
        let lines = mountinfo.lines().filter(|line| line.contains(" - cgroup"));
        assert!(
            lines.count() > 0 || hierarchy.missing().len() >= 4,
            "{hierarchy:?}"
        );
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let v1 = "31 23 0:28 / /m rw - tmpfs tmpfs rw\n32 31 0:29 / /m/cpu\\040x rw shared:9 - cgroup cgroup rw,cpu\n";
    let v2 = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";
    ["a/b", "/a", "northstar", "northstar/x", "../a", "cpu.x"]
        .iter()
        .zip([v1, v2].iter().cycle())
        .map(|(path, mounts)| [&[path.len() as u8], path.as_bytes(), mounts.as_bytes()].concat())
        .collect()
}
