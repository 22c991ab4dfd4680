//! What version 1 tells: one directory per controller, times in nanoseconds.

use super::{CpuStatistics, IoStatistics, MemoryStatistics, optional};
use crate::cgroup::{CgroupError, file};
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn memory(directory: &Path) -> Result<MemoryStatistics, CgroupError> {
    let stat = file::read(directory, "memory.stat")?;
    let limit = file::read(directory, "memory.limit_in_bytes")?;
    let unlimited = file::is_bytes(-1)(limit.trim());
    Ok(MemoryStatistics {
        current: file::read_number(directory, "memory.usage_in_bytes")?.unwrap_or(0),
        peak: optional(directory, "memory.max_usage_in_bytes")?,
        max: if unlimited {
            None
        } else {
            file::read_number(directory, "memory.limit_in_bytes")?
        },
        swap_current: file::keyed(&stat, "total_swap"),
        anon: file::keyed(&stat, "total_rss"),
        file: file::keyed(&stat, "total_cache"),
        kernel: optional(directory, "memory.kmem.usage_in_bytes")?,
        shmem: file::keyed(&stat, "total_shmem"),
        pgfault: file::keyed(&stat, "total_pgfault"),
        pgmajfault: file::keyed(&stat, "total_pgmajfault"),
    })
}

pub(super) fn cpu(
    accounting: &Path,
    bandwidth: Option<&Path>,
) -> Result<CpuStatistics, CgroupError> {
    let micros = |nanos: Option<u64>| nanos.map(|nanos| nanos / 1_000);
    let mut statistics = CpuStatistics {
        usage_usec: micros(file::read_number(accounting, "cpuacct.usage")?).unwrap_or(0),
        user_usec: micros(optional(accounting, "cpuacct.usage_user")?),
        system_usec: micros(optional(accounting, "cpuacct.usage_sys")?),
        ..CpuStatistics::default()
    };
    if let Some(directory) = bandwidth {
        let stat = file::read_if_present(directory, "cpu.stat")?.unwrap_or_default();
        statistics.nr_periods = file::keyed(&stat, "nr_periods");
        statistics.nr_throttled = file::keyed(&stat, "nr_throttled");
        statistics.throttled_usec = micros(file::keyed(&stat, "throttled_time"));
    }
    Ok(statistics)
}

/// The fields that a file's reads and writes go to.
type Fields = fn(&mut IoStatistics) -> [&mut u64; 2];

pub(super) fn io(directory: &Path) -> Result<BTreeMap<String, IoStatistics>, CgroupError> {
    let mut devices = BTreeMap::new();
    let files: [(&str, Fields); 2] = [
        ("blkio.throttle.io_service_bytes_recursive", |io| {
            [&mut io.rbytes, &mut io.wbytes]
        }),
        ("blkio.throttle.io_serviced_recursive", |io| {
            [&mut io.rios, &mut io.wios]
        }),
    ];
    for (name, fields) in files {
        let content = file::read_if_present(directory, name)?.unwrap_or_default();
        parse_io(&content, &mut devices, fields);
    }
    Ok(devices)
}

/// Lines of the form `8:0 Read 123`, and a total at the end.
fn parse_io(content: &str, devices: &mut BTreeMap<String, IoStatistics>, fields: Fields) {
    for line in content.lines() {
        let mut words = line.split_whitespace();
        let (Some(device), Some(operation), Some(value)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let Ok(value) = value.parse() else { continue };
        if !["Read", "Write"].contains(&operation) {
            continue;
        }
        let [read, write] = fields(devices.entry(device.to_owned()).or_default());
        *(if operation == "Read" { read } else { write }) = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_of_version_1_is_parsed() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            std::fs::write(directory.path().join(name), content).unwrap()
        };
        write(
            "blkio.throttle.io_service_bytes_recursive",
            "8:0 Read 10\n8:0 Write 20\n8:0 Sync 30\n8:0 Total 30\n7:0 Read 5\nTotal 35\n",
        );
        write(
            "blkio.throttle.io_serviced_recursive",
            "8:0 Read 1\n8:0 Write 2\n8:0 x\nTotal 3\n",
        );
        let devices = io(directory.path()).unwrap();
        assert_eq!(
            devices["8:0"],
            IoStatistics {
                rbytes: 10,
                wbytes: 20,
                rios: 1,
                wios: 2
            }
        );
        assert_eq!(
            devices["7:0"],
            IoStatistics {
                rbytes: 5,
                ..IoStatistics::default()
            }
        );
        assert_eq!(devices.len(), 2);
    }

    #[test]
    fn cpu_of_version_1_is_in_microseconds() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            std::fs::write(directory.path().join(name), content).unwrap()
        };
        write("cpuacct.usage", "5000000\n");
        write("cpuacct.usage_user", "3000000\n");
        write(
            "cpu.stat",
            "nr_periods 4\nnr_throttled 2\nthrottled_time 7000\n",
        );
        let expected = CpuStatistics {
            usage_usec: 5_000,
            user_usec: Some(3_000),
            system_usec: None,
            nr_periods: Some(4),
            nr_throttled: Some(2),
            throttled_usec: Some(7),
        };
        assert_eq!(
            cpu(directory.path(), Some(directory.path())).unwrap(),
            expected
        );
    }
}
