//! What a crashed predecessor left in the host's mount namespace.
//!
//! A daemon has a mount namespace of its own, and what is in it ends with it. With `--disable-mount-namespace` the
//! mounts of a killed daemon stay, and they hold their devices. Taking them away needs certainty that they are
//! nobody's: the run directory is locked for the life of a daemon, so what is mounted below it when the lock is got
//! is left over. Devices follow their mounts, because both layers of them are told to go with their last user; a
//! verity device that a daemon was killed over before it was ever used carries the mark of that daemon.

use std::{
    collections::HashSet,
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use devicemapper::{DM, DevId};
use northstar_sys::device_mapper::{self, Removal};
use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, open},
    io::Errno,
    mount::{UnmountFlags, unmount},
};
use thiserror::Error;

use super::{instance::Mark, verity::UUID_PREFIX};

/// What was taken away, and the lock on the run directory: nobody else uses the directory as long as it is held.
#[derive(Debug)]
pub struct Reaped {
    /// Mounts below the run directory.
    pub mounts: Vec<PathBuf>,
    /// Verity devices of daemons that do not exist any more, by name.
    pub devices: Vec<String>,
    /// What could not be taken away.
    pub failures: Vec<ReapError>,
    lock: OwnedFd,
}

impl Reaped {
    /// The lock alone. Closing the descriptor unlocks the run directory.
    pub fn into_lock(self) -> OwnedFd {
        self.lock
    }
}

/// Why something was not taken away.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReapError {
    /// Another daemon uses the run directory.
    #[error("{} is in use by another daemon", path.display())]
    InUse {
        /// The run directory.
        path: PathBuf,
    },
    /// The run directory cannot be opened or locked.
    #[error("run directory {}", path.display())]
    RunDirectory {
        /// The run directory.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The list of mounts cannot be read.
    #[error("/proc/self/mountinfo")]
    MountInfo(#[source] io::Error),
    /// A mount stays.
    #[error("umount of {}", path.display())]
    Unmount {
        /// Where it is mounted.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The list of device-mapper devices cannot be read.
    #[error("list of device-mapper devices")]
    List(#[source] devicemapper::DmError),
    /// A verity device stays.
    #[error("removal of the verity device {name}")]
    Remove {
        /// The device.
        name: String,
        /// The kernel's answer.
        #[source]
        source: northstar_sys::Error,
    },
}

/// Locks `run_dir`, which exists, and takes away what daemons that do not exist any more have left.
///
/// To be called before the daemon has a mount namespace of its own: afterwards the host's mounts are out of reach.
///
/// # Errors
///
/// [`ReapError::InUse`] and [`ReapError::RunDirectory`]: the run directory cannot be used. Whatever fails after that
/// is in [`Reaped::failures`] and no reason not to start.
pub fn reap_stale(run_dir: &Path) -> Result<Reaped, ReapError> {
    let lock = lock(run_dir)?;
    let mut reaped = Reaped {
        mounts: Vec::new(),
        devices: Vec::new(),
        failures: Vec::new(),
        lock,
    };
    reap_mounts(run_dir, &mut reaped);
    reap_devices(&mut reaped);
    Ok(reaped)
}

fn lock(run_dir: &Path) -> Result<OwnedFd, ReapError> {
    let failed = |error: Errno| ReapError::RunDirectory {
        path: run_dir.to_owned(),
        source: error.into(),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(run_dir, flags, Mode::empty()).map_err(failed)?;
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(directory),
        Err(Errno::WOULDBLOCK) => Err(ReapError::InUse {
            path: run_dir.to_owned(),
        }),
        Err(error) => Err(failed(error)),
    }
}

fn reap_mounts(run_dir: &Path, reaped: &mut Reaped) {
    let found = run_dir
        .canonicalize()
        .and_then(|run_dir| Ok((run_dir, std::fs::read("/proc/self/mountinfo")?)));
    let (run_dir, mountinfo) = match found {
        Ok(found) => found,
        Err(error) => return reaped.failures.push(ReapError::MountInfo(error)),
    };
    // What was mounted last is on top.
    for path in squashfs_below(&mountinfo, &run_dir).into_iter().rev() {
        match unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {
                // Left empty by the umount; if not, the next mount says so.
                let _ = std::fs::remove_dir(&path);
                reaped.mounts.push(path);
            }
            Err(error) => {
                let source = error.into();
                reaped.failures.push(ReapError::Unmount { path, source });
            }
        }
    }
}

fn reap_devices(reaped: &mut Reaped) {
    // No device mapper, no devices.
    let Ok(control) = DM::new() else { return };
    let devices = match control.list_devices() {
        Ok(devices) => devices,
        Err(error) => return reaped.failures.push(ReapError::List(error)),
    };
    let mut living = HashSet::new();
    for (name, ..) in devices {
        // A device that is gone by now needs no removal.
        let Ok(info) = control.device_info(&DevId::Name(&name)) else {
            continue;
        };
        let mark = info
            .uuid()
            .map(ToString::to_string)
            .and_then(|uuid| uuid.strip_prefix(UUID_PREFIX)?.parse::<Mark>().ok());
        let Some(mark) = mark else { continue };
        if living.contains(&mark.instance) || mark.instance.is_alive() {
            living.insert(mark.instance);
            continue;
        }
        let name = name.to_string();
        match device_mapper::remove(control.file().as_fd(), &name, Removal::Deferred) {
            Ok(_) => reaped.devices.push(name),
            Err(error) if error.errno() == nix::libc::ENXIO => {}
            Err(source) => reaped.failures.push(ReapError::Remove { name, source }),
        }
    }
}

/// The mount points of squashfs below `directory` in a mountinfo file, proc_pid_mountinfo(5), in its order.
fn squashfs_below(mountinfo: &[u8], directory: &Path) -> Vec<PathBuf> {
    let mount_point = |line: &[u8]| -> Option<PathBuf> {
        let mut fields = line.split(|byte| *byte == b' ');
        let path = unescape(fields.nth(4)?);
        // After the mount options come optional fields, a dash, the file system type.
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        let below = path.starts_with(directory) && path != directory;
        (kind == b"squashfs" && below).then_some(path)
    };
    mountinfo
        .split(|byte| *byte == b'\n')
        .filter_map(mount_point)
        .collect()
}

/// Space, tab, newline and backslash are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};

    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|_| first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_squashfs_below_the_run_directory_is_found_in_order() {
        let mountinfo = b"\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 7:0 / /run/northstar/a:1.0.0 ro,nosuid,nodev shared:5 master:2 - squashfs /dev/loop0 ro
31 22 0:50 / /run/northstar/tmp rw - tmpfs tmpfs rw
32 22 7:1 / /snap/core ro - squashfs /dev/loop1 ro
33 22 7:2 / /run/northstar ro - squashfs /dev/loop2 ro
34 22 7:3 / /run/northstar2/b ro - squashfs /dev/loop3 ro
35 22 253:0 / /run/northstar/with\\040space ro - squashfs /dev/dm-0 ro
";
        assert_eq!(
            squashfs_below(mountinfo, Path::new("/run/northstar")),
            [
                PathBuf::from("/run/northstar/a:1.0.0"),
                PathBuf::from("/run/northstar/with space"),
            ]
        );
    }

    #[test]
    fn malformed_lines_are_passed_over() {
        for line in [
            &b""[..],
            b"-",
            b"1 2 3 4",
            b"1 2 3 4 /r/a ro",
            b"1 2 3 4 /r/a ro -",
            b"\\",
        ] {
            assert_eq!(squashfs_below(line, Path::new("/r")), Vec::<PathBuf>::new());
        }
    }

    #[test]
    fn a_run_directory_is_used_by_one_daemon_at_a_time() {
        let run = tempfile::tempdir().unwrap();
        let first = reap_stale(run.path()).unwrap();
        assert!(
            first.mounts.is_empty() && first.failures.is_empty(),
            "{first:?}"
        );
        let second = reap_stale(run.path()).unwrap_err();
        assert!(
            matches!(&second, ReapError::InUse { path } if path == run.path()),
            "{second:?}"
        );
        drop(first.into_lock());
        reap_stale(run.path()).unwrap();
    }
}
