//! Persistent directories: `data_dir/REPOSITORY/NAME`, one for all versions of a name, never shared between
//! repositories (a package of one repository must not reach the data of its namesake in another).
//!
//! Everything goes by descriptors from `data_dir` on and follows no symbolic link, because the contents belong to
//! containers.

use super::wipe;
use crate::config::RepositoryId;
use northstar_manifest::Name;
use rustix::{
    fs::{
        AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Uid, fchmod, fchown,
        fstat, mkdirat, openat, openat2, renameat_with, statat,
    },
    io::Errno,
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

/// Owner only.
const PRIVATE: Mode = Mode::RWXU;

/// Where persistent data is kept.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    /// `data_dir`
    pub(crate) dir: PathBuf,
    /// All repositories: their names are taken below `data_dir`.
    pub(crate) repositories: Vec<RepositoryId>,
    /// The repository that inherits the `data_dir/NAME` of 0.9.x.
    pub(crate) heir: Option<RepositoryId>,
}

impl Store {
    /// The directory of a container, made where it does not exist, owned by `uid:gid` with mode 0700.
    pub(crate) fn open(
        &self,
        repository: &RepositoryId,
        name: &Name,
        uid: u32,
        gid: u32,
    ) -> io::Result<OwnedFd> {
        std::fs::create_dir_all(&self.dir)?;
        let data = self.data()?;
        let repository_dir = directory(data.as_fd(), repository.as_ref())?;
        if self.heir.as_ref() == Some(repository) {
            self.inherit(data.as_fd(), repository_dir.as_fd(), name)?;
        }
        let directory = directory(repository_dir.as_fd(), name.as_ref())?;
        let stat = fstat(&directory)?;
        if (stat.st_uid, stat.st_gid) != (uid, gid) {
            fchown(
                &directory,
                Some(Uid::from_raw(uid)),
                Some(Gid::from_raw(gid)),
            )?;
        }
        if Mode::from_raw_mode(stat.st_mode) != PRIVATE {
            fchmod(&directory, PRIVATE)?;
        }
        Ok(directory)
    }

    fn data(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(CWD, &self.dir, flags, Mode::empty())?)
    }

    /// Moves the `data_dir/NAME` of 0.9.x to where it belongs now, unless there is something already.
    fn inherit(
        &self,
        data: BorrowedFd<'_>,
        repository: BorrowedFd<'_>,
        name: &Name,
    ) -> io::Result<()> {
        // That directory holds the data of a whole repository.
        if self
            .repositories
            .iter()
            .any(|id| id.as_ref() == name.as_ref())
        {
            return Ok(());
        }
        let name: &str = name.as_ref();
        match statat(data, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => {}
            Ok(_) | Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        match renameat_with(data, name, repository, name, RenameFlags::NOREPLACE) {
            Ok(()) => {
                tracing::info!(
                    "moved {} to its place in the repository",
                    self.dir.join(name).display()
                );
                Ok(())
            }
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the data of a container, of the heir also what 0.9.x left. No data is no error.
    pub(crate) fn wipe(&self, repository: &RepositoryId, name: &Name) -> io::Result<()> {
        let data = match self.data() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            data => data?,
        };
        let repository_dir = directory(data.as_fd(), repository.as_ref())?;
        wipe::remove(repository_dir.as_fd(), name.as_ref())?;
        if self.heir.as_ref() == Some(repository) {
            // Only now is there room for it.
            self.inherit(data.as_fd(), repository_dir.as_fd(), name)?;
            wipe::remove(repository_dir.as_fd(), name.as_ref())?;
        }
        Ok(())
    }

    /// The path of a container's directory, for messages.
    pub(crate) fn path(&self, repository: &RepositoryId, name: &Name) -> PathBuf {
        self.dir
            .join(Path::new(repository.as_ref()))
            .join(Path::new(name.as_ref()))
    }
}

/// Opens the directory `name` in `parent`, made where it does not exist.
fn directory(parent: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    match mkdirat(parent, name, PRIVATE) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(parent, name, flags, Mode::empty(), resolve)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn store(dir: &Path) -> Store {
        let id = |name: &str| name.parse::<RepositoryId>().unwrap();
        Store {
            dir: dir.to_owned(),
            repositories: vec![id("first"), id("second")],
            heir: Some(id("first")),
        }
    }

    fn open(store: &Store, repository: &str, name: &str) -> io::Result<OwnedFd> {
        store.open(
            &repository.parse().unwrap(),
            &name.parse().unwrap(),
            1000,
            1001,
        )
    }

    #[test]
    fn directory_is_private_to_the_container() {
        let dir = tempfile::tempdir().unwrap();
        open(&store(dir.path()), "second", "a").unwrap();
        let made = std::fs::metadata(dir.path().join("second/a")).unwrap();
        assert_eq!(
            (made.uid(), made.gid(), made.mode() & 0o7777),
            (1000, 1001, 0o700)
        );
    }

    #[test]
    fn existing_directory_gets_owner_and_mode_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("second/a");
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("file"), "kept").unwrap();
        open(&store(dir.path()), "second", "a").unwrap();
        let made = std::fs::metadata(&path).unwrap();
        assert_eq!((made.uid(), made.mode() & 0o7777), (1000, 0o700));
        assert_eq!(std::fs::read_to_string(path.join("file")).unwrap(), "kept");
    }

    #[test]
    fn link_in_place_of_the_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let victim = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("second")).unwrap();
        symlink(victim.path(), dir.path().join("second/a")).unwrap();
        let error = open(&store(dir.path()), "second", "a").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENOTDIR));
        assert_eq!(std::fs::metadata(victim.path()).unwrap().uid(), 0);
    }

    #[test]
    fn old_data_is_moved_once_and_for_the_heir_only() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/old"), "data").unwrap();
        let store = store(dir.path());

        open(&store, "second", "a").unwrap();
        assert!(!dir.path().join("second/a/old").exists());

        open(&store, "first", "a").unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("first/a/old")).unwrap(),
            "data"
        );
        assert!(!dir.path().join("a").exists());

        std::fs::create_dir_all(dir.path().join("a")).unwrap();
        open(&store, "first", "a").unwrap();
        assert!(dir.path().join("a").exists());
        assert!(dir.path().join("first/a/old").exists());
    }

    #[test]
    fn directory_of_a_repository_is_never_moved() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        open(&store, "second", "a").unwrap();
        open(&store, "first", "second").unwrap();
        assert!(dir.path().join("second/a").exists());
    }

    #[test]
    fn wipe_removes_this_data_only() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let (id, name) = ("first".parse().unwrap(), "a".parse().unwrap());
        store.wipe(&id, &name).unwrap();
        open(&store, "first", "a").unwrap();
        open(&store, "first", "b").unwrap();
        std::fs::write(dir.path().join("first/a/file"), "").unwrap();
        store.wipe(&id, &name).unwrap();
        assert!(!dir.path().join("first/a").exists());
        assert!(dir.path().join("first/b").exists());
    }

    #[test]
    fn wipe_of_the_heir_removes_old_data_and_of_others_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let (first, second) = ("first".parse().unwrap(), "second".parse().unwrap());
        let name = "a".parse().unwrap();
        let old = dir.path().join("a");
        std::fs::create_dir_all(&old).unwrap();
        std::fs::write(old.join("secret"), "").unwrap();
        store.wipe(&second, &name).unwrap();
        assert!(old.join("secret").exists());
        store.wipe(&first, &name).unwrap();
        assert!(!old.exists() && !dir.path().join("first/a").exists());

        // Both, as after a downgrade.
        open(&store, "first", "a").unwrap();
        std::fs::create_dir_all(&old).unwrap();
        store.wipe(&first, &name).unwrap();
        assert!(!old.exists() && !dir.path().join("first/a").exists());
    }

    #[test]
    fn wipe_never_takes_the_directory_of_a_repository_for_old_data() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        open(&store, "second", "a").unwrap();
        let first = "first".parse().unwrap();
        store.wipe(&first, &"second".parse().unwrap()).unwrap();
        store.wipe(&first, &"first".parse().unwrap()).unwrap();
        assert!(dir.path().join("second/a").exists());
    }
}
