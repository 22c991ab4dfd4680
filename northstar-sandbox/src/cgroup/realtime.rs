//! Realtime bandwidth of version 1.
//!
//! On a kernel with `CONFIG_RT_GROUP_SCHED` a group has no realtime time until
//! it is given some, and a group's children together may not have more than
//! the group itself (kernel documentation, `scheduler/sched-rt-group.rst`). So
//! the groups above a container are given what their children need first.

use super::{CgroupError, file};
use std::fs;
use std::path::Path;

const RUNTIME: &str = "cpu.rt_runtime_us";
const PERIOD: &str = "cpu.rt_period_us";

/// Gives every group between `root` and `group` enough time for `runtime`
/// microseconds per period of `group` in addition to what its children have.
pub(super) fn make_room(root: &Path, group: &Path, runtime: i64) -> Result<(), CgroupError> {
    if runtime <= 0 || !file::exists(group, RUNTIME) {
        return Ok(());
    }
    let wanted = Bandwidth {
        runtime,
        period: number(group, PERIOD)?,
    };
    let mut between: Vec<&Path> = group
        .ancestors()
        .skip(1)
        .take_while(|path| *path != root && path.starts_with(root))
        .collect();
    between.reverse();
    for parent in between {
        let period = number(parent, PERIOD)?;
        let mut needed = wanted.per(period);
        for child in children(parent)? {
            if child != group {
                let has = Bandwidth {
                    runtime: number(&child, RUNTIME)?,
                    period: number(&child, PERIOD)?,
                };
                needed = needed.saturating_add(has.per(period));
            }
        }
        if number(parent, RUNTIME)? < needed {
            file::write_and_verify(
                parent,
                RUNTIME,
                &needed.to_string(),
                file::is_number(needed),
            )?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
struct Bandwidth {
    runtime: i64,
    period: i64,
}

impl Bandwidth {
    /// Microseconds of this bandwidth in a period of another length, rounded up.
    fn per(self, period: i64) -> i64 {
        if self.runtime <= 0 || self.period <= 0 {
            return 0;
        }
        let scaled = (i128::from(self.runtime) * i128::from(period) + i128::from(self.period) - 1)
            / i128::from(self.period);
        i64::try_from(scaled).unwrap_or(i64::MAX)
    }
}

fn number(group: &Path, name: &str) -> Result<i64, CgroupError> {
    let content = file::read(group, name)?;
    content.trim().parse().map_err(|_| CgroupError::Format {
        file: group.join(name),
        content,
    })
}

fn children(group: &Path) -> Result<Vec<std::path::PathBuf>, CgroupError> {
    let failed = |source| CgroupError::Read {
        file: group.to_owned(),
        source,
    };
    let mut children = Vec::new();
    for entry in fs::read_dir(group).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            children.push(entry.path());
        }
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidth_is_scaled_and_rounded_up() {
        for (runtime, period, other, expected) in [
            (10_000, 1_000_000, 1_000_000, 10_000),
            (10_000, 500_000, 1_000_000, 20_000),
            (1, 3, 1, 1),
            (0, 1_000_000, 1_000_000, 0),
            (-1, 1_000_000, 1_000_000, 0),
        ] {
            assert_eq!(Bandwidth { runtime, period }.per(other), expected);
        }
    }

    #[test]
    fn parents_get_what_their_children_need() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str, runtime: &str| {
            let directory = root.path().join(path);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(RUNTIME), runtime).unwrap();
            fs::write(directory.join(PERIOD), "1000000\n").unwrap();
            directory
        };
        let top = make("top", "5000\n");
        make("top/sibling", "4000\n");
        let group = make("top/group", "0\n");
        make_room(root.path(), &group, 10_000).unwrap();
        assert_eq!(fs::read_to_string(top.join(RUNTIME)).unwrap(), "14000");
        make_room(root.path(), &group, 100).unwrap();
        assert_eq!(
            fs::read_to_string(top.join(RUNTIME)).unwrap(),
            "14000",
            "never less than before"
        );
    }
}
