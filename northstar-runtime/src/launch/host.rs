//! What a manifest names on the host: bind sources, groups, network namespaces. All looked up once, before the
//! container exists; afterwards only descriptors and numbers are used.

use super::Error;
use crate::config::Missing;
use rustix::{
    fs::{CWD, Mode, OFlags, fstatfs, openat},
    io::Errno,
};
use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// `NSFS_MAGIC` of linux/magic.h: the file system of namespace files.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Where named network namespaces are (ip-netns(8)).
const NETWORK_NAMESPACES: &str = "/run/netns";

/// Pins a bind source. Host paths are the operator's: symbolic links are followed, once.
///
/// `None`: it does not exist and `missing` says to leave it out.
pub(super) fn bind_source(
    target: &Path,
    host: &Path,
    missing: Missing,
) -> Result<Option<OwnedFd>, Error> {
    match openat(CWD, host, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(source) => Ok(Some(source)),
        Err(Errno::NOENT | Errno::NOTDIR) if missing == Missing::Skip => Ok(None),
        Err(source) => Err(Error::BindSource {
            target: target.to_owned(),
            host: host.to_owned(),
            source: source.into(),
        }),
    }
}

/// The number of a group of the host.
///
/// `None`: it does not exist and `missing` says to leave it out.
pub(super) fn group(name: &str, missing: Missing) -> Result<Option<u32>, Error> {
    match nix::unistd::Group::from_name(name) {
        Ok(Some(group)) => Ok(Some(group.gid.as_raw())),
        Ok(None) if missing == Missing::Skip => Ok(None),
        Ok(None) => Err(Error::UnknownGroup {
            name: name.to_owned(),
        }),
        Err(source) => Err(Error::Group {
            name: name.to_owned(),
            source: source.into(),
        }),
    }
}

/// Opens a named network namespace and makes sure that it is one: the file of a deleted namespace is an ordinary,
/// empty file for a moment, and joining must not silently become not joining.
pub(super) fn network_namespace(name: &str) -> Result<OwnedFd, Error> {
    let path = PathBuf::from(NETWORK_NAMESPACES).join(name);
    let failed = |source: Errno| Error::Network {
        path: path.clone(),
        source: source.into(),
    };
    let namespace =
        openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    let statfs = fstatfs(&namespace).map_err(failed)?;
    if u64::try_from(statfs.f_type).ok() != Some(NSFS_MAGIC) {
        return Err(Error::NotANamespace { path });
    }
    Ok(namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_source_is_named_or_skipped() {
        let (target, host) = (Path::new("/data"), Path::new("/does/not/exist"));
        assert!(bind_source(target, host, Missing::Skip).unwrap().is_none());
        match bind_source(target, host, Missing::Refuse) {
            Err(Error::BindSource {
                target,
                host,
                source,
            }) => {
                assert_eq!(target, Path::new("/data"));
                assert_eq!(host, Path::new("/does/not/exist"));
                assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn source_behind_a_link_is_the_link_target() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let pinned = bind_source(Path::new("/x"), &link, Missing::Refuse)
            .unwrap()
            .unwrap();
        let found = rustix::fs::fstat(&pinned).unwrap().st_ino;
        assert_eq!(found, rustix::fs::stat(&real).unwrap().st_ino);
    }

    #[test]
    fn unknown_group_is_named_or_skipped() {
        assert_eq!(group("no-such-group", Missing::Skip).unwrap(), None);
        assert!(matches!(
            group("no-such-group", Missing::Refuse),
            Err(Error::UnknownGroup { name }) if name == "no-such-group"
        ));
        assert_eq!(group("root", Missing::Refuse).unwrap(), Some(0));
    }

    #[test]
    fn missing_network_namespace_is_an_error() {
        match network_namespace("no-such-namespace") {
            Err(Error::Network { path, source }) => {
                assert_eq!(path, Path::new("/run/netns/no-such-namespace"));
                assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
            }
            other => panic!("{other:?}"),
        }
    }
}
