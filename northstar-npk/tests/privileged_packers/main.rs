//! Images of `mksquashfs` (package `squashfs-tools`), and images made elsewhere. Some tests mount
//! them, which needs root.

#![cfg(test)]

#[path = "../common/mod.rs"]
mod common;
mod image;
mod mksquashfs;

use northstar_manifest::Manifest;

const MANIFEST: &str = "\
name: packers
version: 0.1.0
init: /bin/program
uid: 1234
gid: 4321
mounts:
  /dev: {type: dev}
  /proc: {type: proc}
  /data: {type: persist}
  /a directory/with spaces: {type: tmpfs, size: 1000}
";

fn manifest() -> Manifest {
    Manifest::from_yaml(MANIFEST.as_bytes()).unwrap()
}
