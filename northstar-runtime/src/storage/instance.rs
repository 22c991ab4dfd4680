//! The mark of this daemon on what it leaves in the kernel.
//!
//! Loop devices and device-mapper devices outlive a killed process if something still uses them. Each of ours
//! carries `northstar-PID-STARTTIME-NUMBER`, so that a later daemon can tell a dead predecessor's device from a
//! living neighbour's: a process id alone is reused, together with the start time it is not (until a reboot, which
//! no device survives either).

use std::{
    fmt, fs, io,
    str::FromStr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// What every mark begins with.
const PREFIX: &str = "northstar";

/// One run of a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Instance {
    pid: u32,
    /// Clock ticks from boot to the start of the process, field 22 of `/proc/PID/stat` (proc(5)).
    start_time: u64,
}

impl Instance {
    /// This process.
    pub(super) fn current() -> io::Result<Self> {
        static CURRENT: OnceLock<Instance> = OnceLock::new();
        if let Some(instance) = CURRENT.get() {
            return Ok(*instance);
        }
        let pid = std::process::id();
        let start_time = start_time(pid)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(*CURRENT.get_or_init(|| Self { pid, start_time }))
    }

    /// Whether the process still exists. In doubt it does: nothing is taken from a living daemon.
    pub(super) fn is_alive(self) -> bool {
        match start_time(self.pid) {
            Ok(found) => found == Some(self.start_time),
            Err(_) => true,
        }
    }
}

/// The mark of one device: the instance and a number that is unique in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    pub(super) instance: Instance,
    number: u64,
}

impl Mark {
    /// A mark that no other device carries.
    pub(super) fn next() -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        Ok(Self {
            instance: Instance::current()?,
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Instance { pid, start_time } = self.instance;
        write!(formatter, "{PREFIX}-{pid}-{start_time}-{}", self.number)
    }
}

/// Not one of our marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoMark;

impl FromStr for Mark {
    type Err = NoMark;

    /// Accepts exactly what [`Display`](fmt::Display) writes: what merely resembles a mark is not ours.
    fn from_str(text: &str) -> Result<Self, NoMark> {
        let mut parts = text.strip_prefix(PREFIX).ok_or(NoMark)?.split('-');
        let mut next = || parts.next().ok_or(NoMark);
        if !next()?.is_empty() {
            return Err(NoMark);
        }
        let mark = Self {
            instance: Instance {
                pid: next()?.parse().map_err(|_| NoMark)?,
                start_time: next()?.parse().map_err(|_| NoMark)?,
            },
            number: next()?.parse().map_err(|_| NoMark)?,
        };
        if mark.to_string() == text {
            Ok(mark)
        } else {
            Err(NoMark)
        }
    }
}

/// The start time of a process; `None` if there is no such process.
fn start_time(pid: u32) -> io::Result<Option<u64>> {
    let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        // ESRCH: the process ended between open and read.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => return Ok(None),
        Err(error) => return Err(error),
    };
    // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    let start = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19))
        .and_then(|field| field.parse().ok())
        .ok_or(io::ErrorKind::InvalidData)?;
    Ok(Some(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_its_text_form_and_differs_from_the_next() {
        let mark = Mark::next().unwrap();
        assert_eq!(mark.to_string().parse(), Ok(mark));
        assert_ne!(Mark::next().unwrap(), mark);
        // The file name of a loop device has 63 bytes.
        assert!(mark.to_string().len() <= 63);
    }

    #[test]
    fn what_only_resembles_a_mark_is_not_ours() {
        for text in [
            "",
            "northstar",
            "northstar-1-2",
            "northstar-1-2-3-4",
            "northstar-01-2-3",
            "northstar-+1-2-3",
            "northstar--1-2-3",
            "xnorthstar-1-2-3",
            "/var/lib/northstar-1-2-3",
        ] {
            assert_eq!(text.parse::<Mark>(), Err(NoMark), "{text}");
        }
    }

    #[test]
    fn this_process_is_alive_and_one_with_another_start_time_is_not() {
        let current = Instance::current().unwrap();
        assert!(current.is_alive());
        let reused = Instance {
            start_time: current.start_time + 1,
            ..current
        };
        assert!(!reused.is_alive());
    }
}
