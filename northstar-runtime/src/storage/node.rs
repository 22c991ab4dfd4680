//! Device nodes that may appear late.
//!
//! devtmpfs makes a node before the request that created the device returns. Where `/dev` is something else, a
//! helper makes it some time later: then this waits for the directory to change instead of looking again and again.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
};

/// The directory of block device nodes.
#[cfg(not(target_os = "android"))]
const DIRECTORY: &str = "/dev";
/// The directory of block device nodes.
#[cfg(target_os = "android")]
const DIRECTORY: &str = "/dev/block";

/// The node of a device-mapper device, as devtmpfs and ueventd name it.
pub(super) fn device_mapper(minor: u32) -> PathBuf {
    Path::new(DIRECTORY).join(format!("dm-{minor}"))
}

/// Opens the block device `path` read-only as soon as it is there and is the device `number` (as in `st_rdev`).
///
/// # Errors
///
/// What open(2) says last when the deadline has passed, `ENXIO` if the node belongs to another device until then.
pub(super) fn open(path: &Path, number: u64, deadline: Instant) -> io::Result<File> {
    let mut watch: Option<OwnedFd> = None;
    loop {
        let error = match open_exactly(path, number) {
            Ok(node) => return Ok(node),
            Err(error) => error,
        };
        let late = matches!(
            error.raw_os_error(),
            Some(nix::libc::ENOENT | nix::libc::ENXIO)
        );
        let left = deadline.saturating_duration_since(Instant::now());
        if !late || left.is_zero() {
            return Err(error);
        }
        match &watch {
            // Watched first, then looked at again: what happens in between is not missed.
            None => watch = Some(watch_directory(path)?),
            Some(watch) => wait(watch, left)?,
        }
    }
}

fn open_exactly(path: &Path, number: u64) -> io::Result<File> {
    let node = OpenOptions::new().read(true).open(path)?;
    let metadata = node.metadata()?;
    if metadata.file_type().is_block_device() && metadata.rdev() == number {
        Ok(node)
    } else {
        // The node of a device that had this name before, or something planted.
        Err(io::Error::from_raw_os_error(nix::libc::ENXIO))
    }
}

fn watch_directory(path: &Path) -> io::Result<OwnedFd> {
    let directory = path.parent().unwrap_or(Path::new(DIRECTORY));
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let changes = inotify::WatchFlags::CREATE
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::ATTRIB
        | inotify::WatchFlags::ONLYDIR;
    inotify::add_watch(&watch, directory, changes)?;
    Ok(watch)
}

/// Waits for a change in the watched directory, at most for `left`.
fn wait(watch: &OwnedFd, left: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(left).unwrap_or(Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    });
    let mut descriptors = [PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)];
    match poll(&mut descriptors, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    // What changed does not matter, it only must not be reported twice.
    let mut events = [0u8; 4096];
    loop {
        match rustix::io::read(watch, &mut events) {
            Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use super::*;

    #[test]
    fn a_node_that_never_appears_is_reported_at_the_deadline() {
        let directory = tempfile::tempdir().unwrap();
        let deadline = Instant::now() + Duration::from_millis(50);
        let error = open(&directory.path().join("dm-0"), 0, deadline).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENOENT));
        assert!(Instant::now() >= deadline);
    }

    #[test]
    fn a_file_in_the_place_of_a_node_is_not_taken_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dm-0");
        fs::write(&path, b"").unwrap();
        let deadline = Instant::now() + Duration::from_millis(50);
        let error = open(&path, 0, deadline).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENXIO));
    }

    #[test]
    fn a_change_of_the_directory_ends_the_wait() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("loop0");
        let watch = watch_directory(&path).unwrap();
        let maker = thread::spawn(move || fs::write(path, b""));
        let start = Instant::now();
        wait(&watch, Duration::from_secs(60)).unwrap();
        assert!(start.elapsed() < Duration::from_secs(30));
        maker.join().unwrap().unwrap();
    }
}
