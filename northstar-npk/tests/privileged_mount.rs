//! The kernel mounts what is packed here, and shows it as it was. This needs root, loop devices
//! and squashfs in the kernel, and `unsquashfs` (package `squashfs-tools`).

#![cfg(test)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use common::{Mounted, Workshop, run};
use northstar_npk::squashfs::Compression;

const MANIFEST: &str = "\
name: mounted
version: 0.1.0
init: /bin/program
uid: 1234
gid: 4321
mounts:
  /dev: {type: dev}
  /proc: {type: proc}
  /data: {type: persist}
";

/// A tree with what is special about squashfs: sizes around a block, holes, many and long names.
fn tree(root: &Path) {
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir_all(root.join("a/b/c/d/e/f/g/h")).unwrap();
    fs::create_dir(root.join("many")).unwrap();
    let noise = |size: u32| -> Vec<u8> {
        let mut state = 1_u32;
        (0..size)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    };
    let block = 128 * 1024;
    for (name, content) in [
        ("bin/program", b"#!/bin/sh\n".to_vec()),
        ("empty", vec![]),
        ("byte", vec![7]),
        ("below", noise(block - 1)),
        ("exact", noise(block)),
        ("above", noise(block + 1)),
        ("text", b"the same line\n".repeat(50_000)),
        ("zeros", vec![0; 700_000]),
        ("twin-1", noise(3 * block)),
        ("twin-2", noise(3 * block)),
        ("a/b/c/d/e/f/g/h/deep", noise(5000)),
        (&"n".repeat(255), b"long name".to_vec()),
    ] {
        fs::write(root.join(name), content).unwrap();
    }
    let mut holes = vec![0; 5 * block as usize];
    holes[3 * block as usize + 5] = 1;
    fs::write(root.join("holes"), holes).unwrap();
    for number in 0..1500 {
        let name = format!("many/a file with a rather long name {number:05}");
        fs::write(root.join(name), number.to_string()).unwrap();
    }
    for (first, other) in [
        ("empty", "a/empty"),
        ("byte", "many/byte"),
        ("below", "a/b/below"),
        ("above", "a/b/c/above"),
        ("holes", "z"),
        ("bin/program", "bin/applet"),
    ] {
        fs::hard_link(root.join(first), root.join(other)).unwrap();
    }
    symlink("../text", root.join("bin/link")).unwrap();
    symlink("/nowhere", root.join("dangling")).unwrap();
    for (name, mode) in [("bin/program", 0o4755), ("text", 0o640), ("a/b", 0o1777)] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, root.join("fifo"), fifo, mode, 0).unwrap();
}

/// Files with several names: the names of each.
fn links(root: &Path, paths: &BTreeMap<PathBuf, (u32, Vec<u8>)>) -> Vec<(u64, Vec<PathBuf>)> {
    let mut names: BTreeMap<u64, (u64, Vec<PathBuf>)> = BTreeMap::new();
    for path in paths.keys() {
        let metadata = fs::symlink_metadata(root.join(path)).unwrap();
        if metadata.is_file() {
            let file = names.entry(metadata.ino()).or_default();
            file.0 = metadata.nlink();
            file.1.push(path.clone());
        }
    }
    let mut links: Vec<_> = names
        .into_values()
        .filter(|(count, _)| *count > 1)
        .collect();
    links.sort();
    links
}

/// Everything there is to see of a tree, by path.
fn look(root: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut seen = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_dir() {
                directories.push(path.clone());
                Vec::new()
            } else if metadata.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                target.into_os_string().into_encoded_bytes()
            } else if metadata.is_file() {
                fs::read(&path).unwrap()
            } else {
                metadata.rdev().to_le_bytes().to_vec()
            };
            let relative = path.strip_prefix(root).unwrap().to_owned();
            seen.insert(relative, (metadata.mode(), content));
        }
    }
    seen
}

#[test]
fn privileged_the_kernel_shows_what_was_packed() {
    let workshop = Workshop::new();
    let root = workshop.path("root");
    tree(&root);
    let expected = look(&root);
    let expected_links = links(&root, &expected);
    assert_eq!(expected_links.len(), 6);
    for compression in Compression::ALL {
        let packed = workshop.pack(MANIFEST, Some(&root), compression);
        let mounted = Mounted::new(&packed.path, workshop.path(&compression.to_string()));
        let mut found = look(&mounted.0);

        for (name, mode) in [("data", 0o40755), ("dev", 0o40755), ("proc", 0o40444)] {
            let (found, _) = found.remove(Path::new(name)).unwrap();
            assert_eq!(found, mode, "{name}");
        }
        for (name, device) in [
            ("full", (1, 7)),
            ("null", (1, 3)),
            ("random", (1, 8)),
            ("tty", (5, 0)),
            ("urandom", (1, 9)),
            ("zero", (1, 5)),
        ] {
            let (mode, number) = found.remove(&Path::new("dev").join(name)).unwrap();
            let number = u64::from_le_bytes(number.try_into().unwrap());
            let number = (rustix::fs::major(number), rustix::fs::minor(number));
            assert_eq!((mode, number), (0o20666, device), "{name}");
        }
        for name in ["fd", "stdin", "stdout", "stderr"] {
            assert!(found.remove(&Path::new("dev").join(name)).is_some());
        }
        for (path, what) in &found {
            assert!(
                expected.get(path) == Some(what),
                "{} differs",
                path.display()
            );
        }
        assert_eq!(found.len(), expected.len(), "{compression}");
        assert_eq!(links(&mounted.0, &found), expected_links, "{compression}");
        for path in found.keys().map(PathBuf::as_path).chain([Path::new("")]) {
            let metadata = fs::symlink_metadata(mounted.0.join(path)).unwrap();
            let attributes = (metadata.uid(), metadata.gid(), metadata.mtime());
            assert_eq!(attributes, (1234, 4321, 0), "{}", path.display());
        }
    }
}

#[test]
fn unsquashfs_lists_what_was_packed() {
    let workshop = Workshop::new();
    let root = workshop.path("root");
    tree(&root);
    for compression in Compression::ALL {
        let name = match compression {
            Compression::None => "gzip",
            other => other.as_str(),
        };
        let packed = workshop.pack(MANIFEST, Some(&root), compression);
        let path = packed.path.to_str().unwrap();
        let list = run("unsquashfs", &["-offset", "4096", "-l", path]);
        assert!(list.contains("squashfs-root/a/b/c/d/e/f/g/h/deep"));
        assert!(list.contains("squashfs-root/many/a file with a rather long name 01499"));
        let superblock = run("unsquashfs", &["-offset", "4096", "-s", path]);
        assert!(
            superblock.contains(&format!("Compression {name}")),
            "{superblock}"
        );
        let stored = superblock.contains("Data is uncompressed");
        assert_eq!(stored, compression == Compression::None);
    }
}

#[test]
fn privileged_device_nodes_of_the_tree_are_left_out() {
    use northstar_npk::pack::Warning;
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

    let workshop = Workshop::new();
    let root = workshop.path("root");
    fs::create_dir_all(root.join("dev")).unwrap();
    for (name, kind) in [
        ("dev/sda", FileType::BlockDevice),
        ("dev/null", FileType::CharacterDevice),
    ] {
        mknodat(CWD, root.join(name), kind, Mode::RWXU, makedev(8, 0))
            .unwrap_or_else(|error| panic!("device nodes can be made by root only: {error}"));
    }
    let packed = workshop.pack(MANIFEST, Some(&root), Compression::Gzip);
    assert_eq!(
        packed.warnings,
        ["dev/null", "dev/sda"].map(|path| Warning::DeviceDropped { path: path.into() })
    );
    let mounted = Mounted::new(&packed.path, workshop.path("mounted"));
    let found = look(&mounted.0);
    assert_eq!(found.get(Path::new("dev/sda")), None);
    // The one that belongs to the mount is there.
    let (_, number) = &found[Path::new("dev/null")];
    assert_eq!(number.as_slice(), makedev(1, 3).to_le_bytes());
}
