//! What several tests need.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use northstar_manifest::Manifest;
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
