//! What several tests need.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use northstar_manifest::Manifest;
use northstar_npk::Package;
use northstar_npk::key::SecretKey;
use northstar_npk::pack::{PackOptions, Packed, pack};
use northstar_npk::squashfs::Compression;

/// A directory that packages are made in, with a key.
pub struct Workshop {
    pub directory: tempfile::TempDir,
    pub key: SecretKey,
}

impl Workshop {
    pub fn new() -> Workshop {
        Workshop {
            directory: tempfile::tempdir().unwrap(),
            key: SecretKey::generate().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Packs `root` and signs the package with the key of this workshop.
    pub fn pack(&self, manifest: &str, root: Option<&Path>, compression: Compression) -> Packed {
        let manifest = Manifest::from_yaml(manifest.as_bytes()).unwrap();
        let options = PackOptions {
            root,
            key: Some(&self.key),
            compression,
            ..PackOptions::new(&manifest)
        };
        pack(&options, self.directory.path()).unwrap()
    }
}

/// Reads a whole file into a new, writable one that has no name.
#[allow(dead_code)] // Each test uses its own part of this module.
pub fn copy_without_name(path: &Path) -> File {
    use std::io::Write;

    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&fs::read(path).unwrap()).unwrap();
    file
}

/// Runs a program and returns what it printed.
#[allow(dead_code)] // Each test uses its own part of this module.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// An image mounted from within its package, unmounted when dropped.
#[allow(dead_code)]
pub struct Mounted(pub PathBuf);

impl Mounted {
    #[allow(dead_code)]
    pub fn new(package: &Path, target: PathBuf) -> Mounted {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test mounts images and so has to run as root"
        );
        let file = File::open(package).unwrap();
        let image = Package::open(&file, None).unwrap().image().clone();
        fs::create_dir(&target).unwrap();
        let options = format!(
            "ro,nodev,nosuid,loop,offset={},sizelimit={}",
            image.offset, image.squashfs_size
        );
        let (from, to) = (package.to_str().unwrap(), target.to_str().unwrap());
        run("mount", &["-t", "squashfs", "-o", &options, from, to]);
        Mounted(target)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(&self.0).status();
        assert!(status.unwrap().success(), "umount {}", self.0.display());
    }
}
