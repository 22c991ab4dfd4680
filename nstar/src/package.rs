//! The file that an install sends.

use std::{
    fs::OpenOptions,
    io::{self, Seek},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::libc;
use northstar_client::{Disconnected, RequestError};
use tokio::fs::File;

use crate::failure::Failure;

/// A package that is there and can be read.
#[derive(Debug)]
pub struct Package {
    pub path: PathBuf,
    pub file: File,
    /// In bytes.
    pub size: u64,
}

impl Package {
    /// Opens a file that could be a package. What is in it is the daemon's to judge.
    pub fn open(path: &Path) -> Result<Package, Failure> {
        let error = |source| RequestError::Package {
            path: path.to_owned(),
            source,
        };
        // Opening a pipe would wait for its writer; regular files do not care.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(error)?;
        let metadata = file.metadata().map_err(error)?;
        let path = path.to_owned();
        if !metadata.is_file() {
            return Err(Failure::NotAFile { path });
        }
        if metadata.len() == 0 {
            return Err(Failure::Empty { path });
        }
        Ok(Package {
            path,
            file: File::from_std(file),
            size: metadata.len(),
        })
    }
}

impl Package {
    /// Takes the standard input to its end. The size of a package is told before its bytes, so it is kept
    /// in a file without a name meanwhile.
    pub async fn from_stdin() -> Result<Package, Failure> {
        let spool = |source| Failure::Spool { source };
        let spooled = tokio::task::spawn_blocking(|| {
            let mut file = tempfile::tempfile()?;
            let size = io::copy(&mut io::stdin().lock(), &mut file)?;
            file.rewind()?;
            Ok((file, size))
        });
        let spooled = spooled.await.map_err(|error| spool(error.into()))?;
        let (file, size) = spooled.map_err(spool)?;
        let path = PathBuf::from("-");
        if size == 0 {
            return Err(Failure::Empty { path });
        }
        Ok(Package {
            path,
            file: File::from_std(file),
            size,
        })
    }
}

/// Tells a connection that ended because of the package from one that was lost.
pub fn blame(path: &Path, error: RequestError) -> Failure {
    match error {
        RequestError::Closed(source) if is_of_package(&source) => Failure::Unsent {
            path: path.to_owned(),
            source,
        },
        error => error.into(),
    }
}

fn is_of_package(reason: &Arc<Disconnected>) -> bool {
    matches!(
        **reason,
        Disconnected::Body(_) | Disconnected::BodyTooShort { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::failure::Code;

    #[test]
    fn only_the_package_is_blamed_for_what_it_did() {
        let code = |reason| {
            let error = RequestError::Closed(Arc::new(reason));
            blame(Path::new("a.npk"), error).code()
        };
        let unreadable = io::Error::from(io::ErrorKind::IsADirectory);
        assert_eq!(code(Disconnected::Body(unreadable)), Code::Failed);
        assert_eq!(
            code(Disconnected::BodyTooShort { missing: 1 }),
            Code::Failed
        );
        assert_eq!(code(Disconnected::ByServer), Code::Connection);
        assert_eq!(code(Disconnected::InstallRefused), Code::Connection);
    }
}
