//! What version 2 tells: one directory.

use super::{CpuStatistics, IoStatistics, MemoryStatistics, optional};
use crate::cgroup::{CgroupError, file};
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn memory(directory: &Path) -> Result<MemoryStatistics, CgroupError> {
    let stat = file::read(directory, "memory.stat")?;
    Ok(MemoryStatistics {
        current: file::read_number(directory, "memory.current")?.unwrap_or(0),
        peak: optional(directory, "memory.peak")?,
        max: file::read_number(directory, "memory.max")?,
        swap_current: optional(directory, "memory.swap.current")?,
        anon: file::keyed(&stat, "anon"),
        file: file::keyed(&stat, "file"),
        kernel: file::keyed(&stat, "kernel"),
        shmem: file::keyed(&stat, "shmem"),
        pgfault: file::keyed(&stat, "pgfault"),
        pgmajfault: file::keyed(&stat, "pgmajfault"),
    })
}

pub(super) fn cpu(directory: &Path) -> Result<CpuStatistics, CgroupError> {
    let stat = file::read(directory, "cpu.stat")?;
    Ok(CpuStatistics {
        usage_usec: file::keyed(&stat, "usage_usec").unwrap_or(0),
        user_usec: file::keyed(&stat, "user_usec"),
        system_usec: file::keyed(&stat, "system_usec"),
        nr_periods: file::keyed(&stat, "nr_periods"),
        nr_throttled: file::keyed(&stat, "nr_throttled"),
        throttled_usec: file::keyed(&stat, "throttled_usec"),
    })
}

pub(super) fn io(directory: &Path) -> Result<BTreeMap<String, IoStatistics>, CgroupError> {
    file::read(directory, "io.stat").map(|content| parse_io(&content))
}

/// Lines of the form `8:0 rbytes=1 wbytes=2 rios=3 wios=4 ..`.
fn parse_io(content: &str) -> BTreeMap<String, IoStatistics> {
    let mut devices = BTreeMap::new();
    for line in content.lines() {
        let mut words = line.split_whitespace();
        let Some(device) = words.next() else { continue };
        let values: BTreeMap<&str, u64> = words
            .filter_map(|word| word.split_once('='))
            .filter_map(|(key, value)| Some((key, value.parse().ok()?)))
            .collect();
        // The kernel lists devices without traffic by their number alone.
        if !values.is_empty() {
            let value = |key| values.get(key).copied().unwrap_or(0);
            devices.insert(
                device.to_owned(),
                IoStatistics {
                    rbytes: value("rbytes"),
                    wbytes: value("wbytes"),
                    rios: value("rios"),
                    wios: value("wios"),
                },
            );
        }
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_of_version_2_is_parsed() {
        let content =
            "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n7:0\n253:1 rbytes=9\n\n";
        let devices = parse_io(content);
        assert_eq!(devices.len(), 2);
        assert_eq!(
            devices["8:0"],
            IoStatistics {
                rbytes: 1,
                wbytes: 2,
                rios: 3,
                wios: 4
            }
        );
        assert_eq!(
            devices["253:1"],
            IoStatistics {
                rbytes: 9,
                ..IoStatistics::default()
            }
        );
    }

    #[test]
    fn memory_of_version_2_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            std::fs::write(directory.path().join(name), content).unwrap()
        };
        write(
            "memory.stat",
            "anon 1\nfile 2\nkernel 3\nshmem 4\npgfault 5\npgmajfault 6\n",
        );
        write("memory.current", "7\n");
        write("memory.max", "max\n");
        let statistics = memory(directory.path()).unwrap();
        let expected = MemoryStatistics {
            current: 7,
            anon: Some(1),
            file: Some(2),
            kernel: Some(3),
            shmem: Some(4),
            pgfault: Some(5),
            pgmajfault: Some(6),
            ..MemoryStatistics::default()
        };
        assert_eq!(statistics, expected);
    }
}
