//! What goes into a package, and that it is always the same.

#![cfg(test)]

#[path = "../common/mod.rs"]
mod common;
mod content;
mod package;
mod same;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use common::Workshop;
use northstar_manifest::{Manifest, WriteError};
use northstar_npk::pack::{PackError, PackOptions, Packed, Packer, Warning, pack, pack_clones};
use northstar_npk::progress::{Progress, Stage};
use northstar_npk::squashfs::{
    Compression, Entry, EntryKind, SquashfsError, Xattrs, list, read_file,
};
use northstar_npk::{OpenError, Package, verity};

const ALL: [Compression; 6] = Compression::ALL;

const MOUNTS: &str = "\
name: mounts
version: 0.1.0
init: /init
uid: 1234
gid: 4321
mounts:
  /dev: {type: dev}
  /proc: {type: proc}
  /sys: {type: sysfs}
  /data: {type: persist}
  /tmp: {type: tmpfs, size: 1000}
  /sockets: {type: sockets}
  /lib: {type: bind, host: /lib}
  /var/deep/rw: {type: bind, host: /var, options: rw}
  /res: {type: resource, name: other, version: '>=0.1.0', dir: /}
  /etc/file: {type: bind, host: /etc/hosts}
";

fn options<'a>(workshop: &'a Workshop, manifest: &'a Manifest) -> PackOptions<'a> {
    PackOptions {
        key: Some(&workshop.key),
        ..PackOptions::new(manifest)
    }
}

fn manifest(yaml: &str) -> Manifest {
    Manifest::from_yaml(yaml.as_bytes()).unwrap()
}

fn files(path: &Path) -> Vec<Entry> {
    let file = File::open(path).unwrap();
    let package = Package::open(&file, None).unwrap();
    list(&file, package.image()).unwrap()
}

/// A directory with one of everything that can be packed without privileges.
fn tree(workshop: &Workshop) -> PathBuf {
    let root = workshop.path("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("init"), b"program").unwrap();
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(root.join("etc/file"), vec![b'x'; 200_000]).unwrap();
    fs::write(root.join("etc/empty"), b"").unwrap();
    symlink("../init", root.join("etc/link")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, root.join("fifo"), fifo, mode, 0).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o750)).unwrap();
    root
}

/// What packing fails with, after which only the tree is left in the directory.
fn failure(workshop: &Workshop, yaml: &str, root: &Path) -> PackError {
    let manifest = manifest(yaml);
    let options = PackOptions {
        root: Some(root),
        ..options(workshop, &manifest)
    };
    let out = workshop.path("out");
    fs::create_dir_all(&out).unwrap();
    let error = pack(&options, &out).unwrap_err();
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "{error}");
    error
}
