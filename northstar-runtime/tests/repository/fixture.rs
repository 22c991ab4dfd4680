//! Repositories for one test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use bytes::Bytes;
use northstar_runtime::{
    config::{self, Missing, Storage},
    repository::{
        InstallError, InstalledPackage, Rejected, Repository, RepositoryId, Staged, Staging,
    },
};

use crate::support::Env;

pub fn id(name: &str) -> RepositoryId {
    name.parse().unwrap()
}

/// A keyed repository in `directory`, without limits.
pub fn keyed(env: &Env, directory: &Path) -> config::Repository {
    config::Repository {
        key: Some(env.path("test.pub")),
        ..unkeyed(directory)
    }
}

/// A repository in `directory` without a key or limits.
pub fn unkeyed(directory: &Path) -> config::Repository {
    config::Repository {
        storage: Storage::Fs {
            dir: directory.to_owned(),
        },
        key: None,
        integrity: config::Integrity::FullRead,
        missing: Missing::Refuse,
        mount_on_start: false,
        capacity_num: None,
        capacity_size: None,
        start_command: false,
    }
}

/// Opens a repository that has nothing to reject.
pub fn open(config: &config::Repository) -> Repository {
    let (repository, rejected) = Repository::open(&id("test"), config).unwrap();
    assert!(rejected.is_empty(), "{rejected:?}");
    repository
}

/// The names of rejected entries.
pub fn names(rejected: &[Rejected]) -> Vec<String> {
    rejected
        .iter()
        .map(|rejected| {
            rejected
                .entry
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

/// The names of a directory's entries, sorted.
pub fn entries(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Writes `bytes` in pieces of `piece` bytes.
pub async fn write(staging: &mut Staging, bytes: &[u8], piece: usize) -> Result<(), InstallError> {
    for piece in bytes.chunks(piece) {
        staging.write(Bytes::copy_from_slice(piece)).await?;
    }
    Ok(())
}

/// Stages all of `bytes`.
pub async fn stage(repository: &Repository, bytes: &[u8]) -> Result<Staged, InstallError> {
    let mut staging = repository.stage(bytes.len() as u64)?;
    write(&mut staging, bytes, 7919).await?;
    staging.finish().await
}

/// Installs `bytes`.
pub async fn install(
    repository: &mut Repository,
    bytes: &[u8],
) -> Result<Arc<InstalledPackage>, InstallError> {
    let package = stage(repository, bytes).await?.commit().await?;
    Ok(repository.insert(package))
}

/// A tmpfs that goes with the value.
pub struct Tmpfs(pub PathBuf);

impl Tmpfs {
    pub fn mount(path: PathBuf, options: &str) -> Self {
        fs::create_dir_all(&path).unwrap();
        run(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                options,
                "tmpfs",
                path.to_str().unwrap(),
            ],
        );
        Self(path)
    }

    pub fn read_only(&self) {
        run("mount", &["-o", "remount,ro", self.0.to_str().unwrap()]);
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        run("umount", &["--lazy", self.0.to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status}");
}
