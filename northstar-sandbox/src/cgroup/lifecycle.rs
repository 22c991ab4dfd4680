//! Processes of a group, and its end.

use super::{CgroupError, file};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the removal of a group waits for its processes to be gone.
pub const REMOVAL_DEADLINE: Duration = Duration::from_secs(5);

/// How long version 1 is given to freeze a group before its processes are
/// killed anyway.
const FREEZE_DEADLINE: Duration = Duration::from_millis(100);

/// How long killed processes are given to be gone before the group is frozen
/// once more: one that is frozen on its way out dies no sooner for it.
const DEATH_PAUSE: Duration = Duration::from_millis(50);

/// How often processes that were forked meanwhile are looked for.
const ROUNDS: usize = 50;

/// Pause between two tries: short at first, as most groups are empty at once.
struct Backoff(Duration);

impl Backoff {
    const fn new() -> Backoff {
        Backoff(Duration::from_micros(500))
    }

    fn wait(&mut self) {
        sleep(self.0);
        self.0 = (self.0 * 2).min(Duration::from_millis(20));
    }
}

/// Kills every process in the group and below it.
///
/// On version 2 the kernel does it at once (`cgroup.kill`, from 5.14). Else
/// the group is frozen while its processes are signalled, so that none can
/// fork in between.
pub(super) fn kill_all(
    unified: Option<&Path>,
    freezer: Option<&Path>,
    directories: &BTreeSet<&Path>,
) -> Result<(), CgroupError> {
    // A process frozen on version 1 would not die.
    let thaw = |freezer: Option<&Path>| {
        freezer.map_or(Ok(()), |path| {
            write_if_present(path, "freezer.state", "THAWED")
        })
    };
    if let Some(directory) = unified.filter(|path| file::exists(path, "cgroup.kill")) {
        write_if_present(directory, "cgroup.kill", "1")?;
        thaw(freezer)?;
        // On a hybrid somebody may have moved a process out of this one tree.
        let killed = processes(directory)?;
        let others = directories
            .iter()
            .filter(|path| **path != directory)
            .copied()
            .collect();
        if all_processes(&others)?
            .iter()
            .all(|pid| killed.contains(pid))
        {
            return Ok(());
        }
    }
    for _ in 0..ROUNDS {
        if all_processes(directories)?.is_empty() {
            return Ok(());
        }
        freeze(unified, freezer)?;
        let result = all_processes(directories).map(|pids| pids.into_iter().for_each(kill_one));
        if let Some(directory) = unified {
            write_if_present(directory, "cgroup.freeze", "0")?;
        }
        thaw(freezer)?;
        result?;
        let killed = Instant::now();
        let mut backoff = Backoff::new();
        while killed.elapsed() < DEATH_PAUSE && !all_processes(directories)?.is_empty() {
            backoff.wait();
        }
    }
    Ok(())
}

fn kill_one(pid: i32) {
    // 0 is a process outside of this pid namespace: it cannot be addressed,
    // and as an argument it would mean the caller's own process group.
    if pid > 0 {
        // It may be gone by now, which is what is wanted.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Stops the group, as far as it can be stopped in the time.
fn freeze(unified: Option<&Path>, freezer: Option<&Path>) -> Result<(), CgroupError> {
    let started = Instant::now();
    let mut backoff = Backoff::new();
    if let Some(directory) = freezer {
        write_if_present(directory, "freezer.state", "FROZEN")?;
        while started.elapsed() < FREEZE_DEADLINE {
            let state = file::read_if_present(directory, "freezer.state")?;
            if state.is_none_or(|state| state.trim() == "FROZEN") {
                break;
            }
            backoff.wait();
        }
    } else if let Some(directory) = unified {
        write_if_present(directory, "cgroup.freeze", "1")?;
        while started.elapsed() < FREEZE_DEADLINE {
            let events = file::read_if_present(directory, "cgroup.events")?;
            if events.is_none_or(|events| file::keyed(&events, "frozen") != Some(0)) {
                break;
            }
            backoff.wait();
        }
    }
    Ok(())
}

fn write_if_present(directory: &Path, name: &str, value: &str) -> Result<(), CgroupError> {
    match file::write(directory, name, value) {
        Err(CgroupError::Missing { .. }) => Ok(()),
        Err(CgroupError::Write { source, .. }) if is_gone(&source) => Ok(()),
        result => result,
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ENODEV as i32)
}

fn all_processes(directories: &BTreeSet<&Path>) -> Result<BTreeSet<i32>, CgroupError> {
    let mut pids = BTreeSet::new();
    for directory in directories {
        pids.extend(processes(directory)?);
    }
    Ok(pids)
}

/// The processes in a group and below it; none if it does not exist.
pub(super) fn processes(directory: &Path) -> Result<Vec<i32>, CgroupError> {
    let mut pids = own_processes(directory)?;
    for child in children(directory)? {
        pids.extend(processes(&child)?);
    }
    Ok(pids)
}

/// The processes in a group itself.
pub(super) fn own_processes(directory: &Path) -> Result<Vec<i32>, CgroupError> {
    match file::read(directory, "cgroup.procs") {
        Ok(content) => Ok(content
            .lines()
            .filter_map(|line| line.trim().parse().ok())
            .collect()),
        Err(CgroupError::Read { source, .. }) if is_gone(&source) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The groups directly below a group.
pub(super) fn children(directory: &Path) -> Result<Vec<PathBuf>, CgroupError> {
    let failed = |source| CgroupError::Read {
        file: directory.to_owned(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(source) if is_gone(&source) => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut children = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            children.push(entry.path());
        }
    }
    Ok(children)
}

/// Removes a group and everything below it, as soon as it has no processes.
///
/// # Errors
///
/// [`CgroupError::Busy`] if there are processes left at the deadline.
pub(super) fn remove(
    directory: &Path,
    started: Instant,
    deadline: Duration,
) -> Result<(), CgroupError> {
    let mut backoff = Backoff::new();
    loop {
        let Err(source) = remove_once(directory) else {
            return Ok(());
        };
        let busy = [Errno::EBUSY as i32, Errno::ENOTEMPTY as i32];
        if !source
            .raw_os_error()
            .is_some_and(|code| busy.contains(&code))
        {
            return Err(CgroupError::Remove {
                path: directory.to_owned(),
                source,
            });
        }
        if started.elapsed() >= deadline {
            let pids = processes(directory)?;
            return Err(CgroupError::Busy {
                path: directory.to_owned(),
                pids,
                waited: deadline,
            });
        }
        backoff.wait();
    }
}

/// One try to remove a group with those below it; a missing one is removed.
fn remove_once(directory: &Path) -> io::Result<()> {
    let result = match fs::remove_dir(directory) {
        // EBUSY is also what the kernel says when there are groups below.
        Err(_) => {
            for child in children(directory).map_err(into_io)? {
                remove_once(&child)?;
            }
            fs::remove_dir(directory)
        }
        removed => removed,
    };
    match result {
        Err(error) if is_gone(&error) => Ok(()),
        result => result,
    }
}

fn into_io(error: CgroupError) -> io::Error {
    match error {
        CgroupError::Read { source, .. } => source,
        other => io::Error::other(other),
    }
}
