//! Runs in init, after fork. Entries of procfs and sysfs that tell about or act on the host are
//! covered by something empty from the stage. Neither side comes from the image.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::mounts::Builder;
use crate::forker::{EMPTY_DIRECTORY, EMPTY_FILE};
use crate::mount::clone_detached;
use crate::plan::MountFlags;
use crate::step::{At, Step, StepError};

impl Builder<'_> {
    /// Hides entries of a procfs or sysfs behind something empty of the stage. The entry is looked
    /// up in the file system itself; nothing of the image takes part.
    pub(super) fn mask(
        &mut self,
        filesystem: &OwnedFd,
        masked: &[PathBuf],
        target: &Path,
    ) -> Result<(), StepError> {
        for pattern in masked {
            let detail = |path: &Path| target.join(path).display().to_string();
            let paths = match expand(filesystem, pattern) {
                // Not every kernel has every entry.
                Err(Errno::NOENT) => continue,
                paths => paths.at_detail(Step::Mask, detail(pattern))?,
            };
            for path in paths {
                match self.mask_one(filesystem, &path) {
                    // The same, and not every name has it below.
                    Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                    Err(error) => return Err(error).at_detail(Step::Mask, detail(&path)),
                }
            }
        }
        Ok(())
    }

    fn mask_one(&mut self, filesystem: &OwnedFd, path: &Path) -> Result<(), Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = rustix::fs::openat2(filesystem, path, flags, Mode::empty(), resolve)?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&entry)?.st_mode);
        let cover = match kind {
            FileType::Directory => EMPTY_DIRECTORY,
            _ => EMPTY_FILE,
        };
        let cover = rustix::fs::open(cover, flags, Mode::empty())?;
        let found = rustix::fs::fstat(&cover)?;
        let covers = FileType::from_raw_mode(found.st_mode);
        if (covers == FileType::Directory) != (kind == FileType::Directory)
            || (covers == FileType::RegularFile && found.st_size != 0)
        {
            return Err(Errno::IO);
        }
        let cover = clone_detached(cover.as_fd(), false)?;
        let flags = MountFlags {
            read_only: true,
            nosuid: true,
            nodev: true,
            noexec: true,
            recursive: false,
        };
        self.attach(&cover, &entry, flags, false)
    }
}

/// The paths that a pattern stands for: itself, or with each of the names there are in place of its
/// `*`.
fn expand(filesystem: &OwnedFd, pattern: &Path) -> Result<Vec<PathBuf>, Errno> {
    let mut components = pattern.components();
    let star = OsStr::new("*");
    let Some(at) = components.position(|component| component.as_os_str() == star) else {
        return Ok(vec![pattern.to_owned()]);
    };
    let before = pattern.components().take(at).collect::<PathBuf>();
    let after = components.as_path();
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat2(filesystem, &before, flags, Mode::empty(), resolve)?;
    let mut paths = Vec::new();
    for entry in Dir::new(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            paths.push(before.join(name).join(after));
        }
    }
    Ok(paths)
}
