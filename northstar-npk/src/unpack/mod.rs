//! Taking a package apart into a directory that can be packed again.

mod error;
mod extract;

use std::fs::{self, File};
use std::io;
use std::path::Path;

use self::error::create;
pub use self::error::{UnpackError, UnpackWarning};
use self::extract::extract;
use crate::package::Package;
use crate::squashfs::{self, Contents};

/// Name of the manifest in the target directory.
pub const MANIFEST: &str = "manifest.yaml";
/// Name of the directory with the content of the image in the target directory.
pub const ROOT: &str = "root";

/// What an image may do to the machine it is unpacked on.
///
/// A few bytes of an image can stand for files of any size, so there are limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackOptions {
    /// Largest size of all files together in bytes, holes included: 8 GiB by default.
    pub max_bytes: u64,
    /// Largest number of files, directories and links: a million by default.
    pub max_files: u64,
    /// Keep set-id bits, which are cleared otherwise: the files belong to whoever unpacks.
    pub keep_set_id: bool,
}

impl Default for UnpackOptions {
    fn default() -> UnpackOptions {
        UnpackOptions {
            max_bytes: 8 << 30,
            max_files: 1_000_000,
            keep_set_id: false,
        }
    }
}

/// Unpacks the package in `file` into the new directory `target`: its manifest as it is in the
/// package, and below `root` the content of the image.
///
/// Nothing is written outside of `target`, whatever the image says. Owner and time are not carried
/// over. The target appears when everything is in it; after an error it does not. The limits
/// are those of [`UnpackOptions::default`].
pub fn unpack(
    file: &File,
    package: &Package,
    target: &Path,
) -> Result<Vec<UnpackWarning>, UnpackError> {
    unpack_with(file, package, target, &UnpackOptions::default())
}

/// [`unpack`], with other limits.
pub fn unpack_with(
    file: &File,
    package: &Package,
    target: &Path,
    options: &UnpackOptions,
) -> Result<Vec<UnpackWarning>, UnpackError> {
    if !is_free(target).map_err(create(target))? {
        return Err(UnpackError::Exists {
            path: target.to_owned(),
        });
    }
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let staging = tempfile::Builder::new()
        .prefix(".unpack-")
        .tempdir_in(parent)
        .map_err(create(target))?;
    // Whatever mode the image's root has, the target is an ordinary directory.
    let content = staging.path().join("content");
    fs::create_dir(&content).map_err(create(target))?;
    fs::write(content.join(MANIFEST), &package.archive().manifest).map_err(create(target))?;

    let (image, links) = squashfs::open_with_links(file, package.image())?;
    let contents = Contents::open(file, package.image())?;
    let warnings = extract((&image, links), contents, &content.join(ROOT), options)?;
    fs::rename(&content, target).map_err(create(target))?;
    Ok(warnings)
}

/// True if there is nothing at `target`, or an empty directory.
fn is_free(target: &Path) -> io::Result<bool> {
    match fs::read_dir(target) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Ok(true),
            io::ErrorKind::NotADirectory => Ok(false),
            _ => Err(error),
        },
    }
}
