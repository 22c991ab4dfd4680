//! Memory events: counters and a descriptor that says when they changed.

use super::{Cgroup, CgroupError, Controller, file};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// How often something happened since the group was created
/// (`memory.events` of version 2, kernel documentation `cgroup-v2.rst`).
///
/// On version 1 the kernel counts less: `max` is `memory.failcnt`, `oom` is
/// what the monitor has been notified of, `low` and `high` stay 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct MemoryEvents {
    /// Reclaimed although below the soft limit.
    pub low: u64,
    /// Throttled above `memory.high`.
    pub high: u64,
    /// Usage was about to exceed the hard limit.
    pub max: u64,
    /// Out of memory: the hard limit could not be met by reclaim.
    pub oom: u64,
    /// Processes killed for it.
    pub oom_kill: u64,
}

impl MemoryEvents {
    /// Parses `memory.events`; keys of newer kernels are ignored.
    fn parse(content: &str) -> MemoryEvents {
        let value = |key| file::keyed(content, key).unwrap_or(0);
        MemoryEvents {
            low: value("low"),
            high: value("high"),
            max: value("max"),
            oom: value("oom"),
            oom_kill: value("oom_kill"),
        }
    }
}

/// Watches the memory events of a group; becomes readable when they changed.
///
/// Independent of the [`Cgroup`] it was made from, so that it can be watched
/// elsewhere. On version 1 the kernel notifies *before* it kills; `oom_kill`
/// is complete when the container has exited.
#[derive(Debug)]
pub struct MemoryMonitor {
    directory: PathBuf,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// Version 2: the file `memory.events` is modified.
    Modified(Inotify),
    /// Version 1: a counter of out-of-memory situations. The open file keeps
    /// the registration meaningful.
    Counter {
        event: EventFd,
        _control: File,
        seen: u64,
    },
}

impl MemoryMonitor {
    pub(super) fn new(group: &Cgroup) -> Result<Option<MemoryMonitor>, CgroupError> {
        if let Some(directory) = group.v1.get(&Controller::Memory) {
            return MemoryMonitor::v1(directory).map(Some);
        }
        match &group.unified {
            Some(directory) if group.controllers.contains(&Controller::Memory) => {
                MemoryMonitor::v2(directory).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn v2(directory: &Path) -> Result<MemoryMonitor, CgroupError> {
        let file = directory.join("memory.events");
        let watch = || -> nix::Result<Inotify> {
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            inotify.add_watch(&file, AddWatchFlags::IN_MODIFY)?;
            Ok(inotify)
        };
        let inotify = watch().map_err(|errno| CgroupError::Watch {
            file: file.clone(),
            source: errno.into(),
        })?;
        Ok(MemoryMonitor {
            directory: directory.to_owned(),
            source: Source::Modified(inotify),
        })
    }

    fn v1(directory: &Path) -> Result<MemoryMonitor, CgroupError> {
        let path = directory.join("memory.oom_control");
        let failed = |source| CgroupError::Watch {
            file: path.clone(),
            source,
        };
        let control = File::open(&path).map_err(failed)?;
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|errno| failed(errno.into()))?;
        let registration = format!("{} {}", event.as_fd().as_raw_fd(), control.as_raw_fd());
        file::write(directory, "cgroup.event_control", &registration)?;
        Ok(MemoryMonitor {
            directory: directory.to_owned(),
            source: Source::Counter {
                event,
                _control: control,
                seen: 0,
            },
        })
    }

    /// Makes the descriptor wait for the next change and returns the counters;
    /// `None` when the group is gone.
    ///
    /// # Errors
    ///
    /// A file of the group cannot be read.
    pub fn read(&mut self) -> Result<Option<MemoryEvents>, CgroupError> {
        let failed = |errno: nix::errno::Errno| CgroupError::Watch {
            file: self.directory.clone(),
            source: errno.into(),
        };
        let result = match &mut self.source {
            Source::Modified(inotify) => {
                drain(inotify).map_err(failed)?;
                read_v2(&self.directory)
            }
            Source::Counter { event, seen, .. } => {
                match event.read() {
                    Ok(count) => *seen = seen.saturating_add(count),
                    Err(nix::errno::Errno::EAGAIN) => {}
                    Err(errno) => return Err(failed(errno)),
                }
                let seen = *seen;
                read_v1(&self.directory).map(|events| MemoryEvents {
                    oom: seen.max(events.oom_kill),
                    ..events
                })
            }
        };
        match result {
            Err(CgroupError::Read { source, .. }) if is_gone(&source) => Ok(None),
            result => result.map(Some),
        }
    }
}

impl AsFd for MemoryMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.source {
            Source::Modified(inotify) => inotify.as_fd(),
            Source::Counter { event, .. } => event.as_fd(),
        }
    }
}

fn drain(inotify: &Inotify) -> nix::Result<()> {
    loop {
        match inotify.read_events() {
            Ok(_) => {}
            Err(nix::errno::Errno::EAGAIN) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
}

/// The group was removed before or while its file was read.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(nix::errno::Errno::ENODEV as i32)
}

/// The counters of a group now, without a monitor.
pub(super) fn read(group: &Cgroup) -> Result<Option<MemoryEvents>, CgroupError> {
    if let Some(directory) = group.v1.get(&Controller::Memory) {
        return read_v1(directory).map(Some);
    }
    match &group.unified {
        Some(directory) if group.controllers.contains(&Controller::Memory) => {
            read_v2(directory).map(Some)
        }
        _ => Ok(None),
    }
}

fn read_v2(directory: &Path) -> Result<MemoryEvents, CgroupError> {
    file::read(directory, "memory.events").map(|content| MemoryEvents::parse(&content))
}

fn read_v1(directory: &Path) -> Result<MemoryEvents, CgroupError> {
    let control = file::read(directory, "memory.oom_control")?;
    let oom_kill = file::keyed(&control, "oom_kill").unwrap_or(0);
    let max = file::read_number(directory, "memory.failcnt")?.unwrap_or(0);
    Ok(MemoryEvents {
        max,
        oom: oom_kill,
        oom_kill,
        ..MemoryEvents::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_parsed_by_name() {
        let content = "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n";
        let expected = MemoryEvents {
            low: 1,
            high: 2,
            max: 3,
            oom: 4,
            oom_kill: 5,
        };
        assert_eq!(MemoryEvents::parse(content), expected);
        assert_eq!(
            MemoryEvents::parse("oom_kill 7"),
            MemoryEvents {
                oom_kill: 7,
                ..MemoryEvents::default()
            }
        );
        assert_eq!(MemoryEvents::parse("garbage\n\n"), MemoryEvents::default());
    }

    #[test]
    fn version_1_counters_are_mapped() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            std::fs::write(directory.path().join(name), content).unwrap()
        };
        write(
            "memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        );
        write("memory.failcnt", "41\n");
        let expected = MemoryEvents {
            max: 41,
            oom: 2,
            oom_kill: 2,
            ..MemoryEvents::default()
        };
        assert_eq!(read_v1(directory.path()).unwrap(), expected);
    }
}
