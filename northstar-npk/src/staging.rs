//! Files that appear at once and complete.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use northstar_manifest::Container;
use tempfile::NamedTempFile;

/// A file under a temporary name beside its destination. It vanishes unless it is published.
#[derive(Debug)]
pub(crate) struct Staging {
    file: NamedTempFile,
    destination: PathBuf,
}

impl Staging {
    /// Only a regular file may be there already: whoever names a device, such as `/dev/null`, does not
    /// want it replaced.
    pub(crate) fn new(destination: PathBuf) -> io::Result<Staging> {
        if fs::metadata(&destination).is_ok_and(|metadata| !metadata.is_file()) {
            let message = "it is there already and not a regular file";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        // As any new file: the umask decides who may read a package.
        let file = tempfile::Builder::new()
            .prefix(".pack-")
            .suffix(".tmp")
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(directory(&destination))?;
        Ok(Staging { file, destination })
    }

    pub(crate) fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Gives the file its name, in place of one that has it. File and name survive a power cut.
    pub(crate) fn publish(self) -> io::Result<PathBuf> {
        let Staging { file, destination } = self;
        file.as_file().sync_all()?;
        file.persist(&destination).map_err(|error| error.error)?;
        File::open(directory(&destination))?.sync_all()?;
        Ok(destination)
    }
}

/// The directory that holds `path`.
pub(crate) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// `out`, or, where that is a directory, the file `NAME-VERSION.npk` in it.
pub(crate) fn destination(out: &Path, container: &Container) -> PathBuf {
    match out.is_dir() {
        true => out.join(file_name(container)),
        false => out.to_owned(),
    }
}

/// The name a package has by default.
pub(crate) fn file_name(container: &Container) -> String {
    format!("{}-{}.npk", container.name(), container.version())
}
