//! What a container uses.
//!
//! Names and units are those of version 2 (kernel documentation,
//! `cgroup-v2.rst`); the numbers of version 1 are converted. A number this
//! kernel does not have is absent.

use super::{Cgroup, CgroupError, Controller, file};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Usage of a group and everything below it. A part is absent if its
/// controller is not available.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Memory.
    pub memory: Option<MemoryStatistics>,
    /// Processor time.
    pub cpu: Option<CpuStatistics>,
    /// Block devices, by `major:minor`.
    pub io: Option<BTreeMap<String, IoStatistics>>,
    /// Processes.
    pub pids: Option<PidsStatistics>,
}

/// Memory, in bytes unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MemoryStatistics {
    /// Used now (`memory.current`, v1 `memory.usage_in_bytes`).
    pub current: u64,
    /// Most ever used (`memory.peak`, v1 `memory.max_usage_in_bytes`).
    pub peak: Option<u64>,
    /// Hard limit; absent if unlimited (`memory.max`, v1 `memory.limit_in_bytes`).
    pub max: Option<u64>,
    /// Swap used now (`memory.swap.current`, v1 `total_swap`).
    pub swap_current: Option<u64>,
    /// Anonymous memory (`anon`, v1 `total_rss`).
    pub anon: Option<u64>,
    /// Page cache (`file`, v1 `total_cache`).
    pub file: Option<u64>,
    /// Memory of the kernel (`kernel`, v1 `memory.kmem.usage_in_bytes`).
    pub kernel: Option<u64>,
    /// Shared memory and tmpfs (`shmem`, v1 `total_shmem`).
    pub shmem: Option<u64>,
    /// Number of page faults.
    pub pgfault: Option<u64>,
    /// Number of page faults that needed i/o.
    pub pgmajfault: Option<u64>,
}

/// Processor time, in microseconds unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CpuStatistics {
    /// Time used in total (v1 `cpuacct.usage`).
    pub usage_usec: u64,
    /// Time used in programs (v1 `cpuacct.usage_user`).
    pub user_usec: Option<u64>,
    /// Time used in the kernel (v1 `cpuacct.usage_sys`).
    pub system_usec: Option<u64>,
    /// Number of periods with a quota in force.
    pub nr_periods: Option<u64>,
    /// Number of periods in which the quota was used up.
    pub nr_throttled: Option<u64>,
    /// Time spent waiting for the next period.
    pub throttled_usec: Option<u64>,
}

/// Traffic with one block device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct IoStatistics {
    /// Bytes read.
    pub rbytes: u64,
    /// Bytes written.
    pub wbytes: u64,
    /// Number of reads.
    pub rios: u64,
    /// Number of writes.
    pub wios: u64,
}

/// Processes and threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PidsStatistics {
    /// Number now.
    pub current: u64,
    /// Limit; absent if unlimited.
    pub max: Option<u64>,
}

/// Reads what there is about a group.
pub(super) fn read(group: &Cgroup) -> Result<Statistics, CgroupError> {
    // A controller is either on version 1 or on version 2.
    let v1 = |controller| group.v1.get(&controller).map(|path| path.as_path());
    let v2 = |controller| {
        group
            .unified
            .as_deref()
            .filter(|_| group.controllers.contains(&controller))
    };
    Ok(Statistics {
        memory: pick(
            v1(Controller::Memory),
            memory_v1,
            v2(Controller::Memory),
            memory_v2,
        )?,
        cpu: match v1(Controller::Cpuacct) {
            Some(directory) => Some(cpu_v1(directory, v1(Controller::Cpu))?),
            None => v2(Controller::Cpu).map(cpu_v2).transpose()?,
        },
        io: pick(v1(Controller::Io), io_v1, v2(Controller::Io), io_v2)?,
        pids: pick(v1(Controller::Pids), pids, v2(Controller::Pids), pids)?,
    })
}

type Reader<T> = fn(&Path) -> Result<T, CgroupError>;

fn pick<T>(
    v1: Option<&Path>,
    read_v1: Reader<T>,
    v2: Option<&Path>,
    read_v2: Reader<T>,
) -> Result<Option<T>, CgroupError> {
    match (v1, v2) {
        (Some(directory), _) => read_v1(directory).map(Some),
        (None, Some(directory)) => read_v2(directory).map(Some),
        (None, None) => Ok(None),
    }
}

/// A number from a file that not every kernel has.
fn optional(directory: &Path, name: &str) -> Result<Option<u64>, CgroupError> {
    if file::exists(directory, name) {
        file::read_number(directory, name)
    } else {
        Ok(None)
    }
}

fn memory_v2(directory: &Path) -> Result<MemoryStatistics, CgroupError> {
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

fn memory_v1(directory: &Path) -> Result<MemoryStatistics, CgroupError> {
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

fn cpu_v2(directory: &Path) -> Result<CpuStatistics, CgroupError> {
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

fn cpu_v1(accounting: &Path, bandwidth: Option<&Path>) -> Result<CpuStatistics, CgroupError> {
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

fn io_v2(directory: &Path) -> Result<BTreeMap<String, IoStatistics>, CgroupError> {
    file::read(directory, "io.stat").map(|content| parse_io_v2(&content))
}

/// Lines of the form `8:0 rbytes=1 wbytes=2 rios=3 wios=4 ..`.
fn parse_io_v2(content: &str) -> BTreeMap<String, IoStatistics> {
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

/// The fields that a file's reads and writes go to.
type Fields = fn(&mut IoStatistics) -> [&mut u64; 2];

fn io_v1(directory: &Path) -> Result<BTreeMap<String, IoStatistics>, CgroupError> {
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
        parse_io_v1(&content, &mut devices, fields);
    }
    Ok(devices)
}

/// Lines of the form `8:0 Read 123`, and a total at the end.
fn parse_io_v1(content: &str, devices: &mut BTreeMap<String, IoStatistics>, fields: Fields) {
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

fn pids(directory: &Path) -> Result<PidsStatistics, CgroupError> {
    Ok(PidsStatistics {
        current: file::read_number(directory, "pids.current")?.unwrap_or(0),
        max: file::read_number(directory, "pids.max")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_of_version_2_is_parsed() {
        let content =
            "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n7:0\n253:1 rbytes=9\n\n";
        let devices = parse_io_v2(content);
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
        let devices = io_v1(directory.path()).unwrap();
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
            cpu_v1(directory.path(), Some(directory.path())).unwrap(),
            expected
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
        let statistics = memory_v2(directory.path()).unwrap();
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
