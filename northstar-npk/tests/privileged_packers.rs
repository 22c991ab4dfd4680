//! Images of `mksquashfs` (package `squashfs-tools`), and images made elsewhere. Some tests mount
//! them, which needs root.

#![cfg(test)]

mod common;

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use common::{Mounted, Workshop, run};
use northstar_manifest::Manifest;
use northstar_npk::Package;
use northstar_npk::pack::{PackError, PackOptions, Packer, Warning, pack};
use northstar_npk::squashfs::{Compression, EntryKind, SquashfsError, Xattrs, list};
use northstar_npk::verity::verify_image;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};

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

const MKSQUASHFS: Packer<'static> = Packer::Mksquashfs {
    program: None,
    threads: None,
};

fn manifest() -> Manifest {
    Manifest::from_yaml(MANIFEST.as_bytes()).unwrap()
}

/// A directory with what the two packers treat differently.
fn tree(workshop: &Workshop) -> PathBuf {
    let root = workshop.path("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir_all(root.join("dev")).unwrap();
    fs::write(root.join("bin/program"), vec![b'p'; 300_000]).unwrap();
    let mode = fs::Permissions::from_mode(0o4755);
    fs::set_permissions(root.join("bin/program"), mode).unwrap();
    fs::hard_link(root.join("bin/program"), root.join("bin/other")).unwrap();
    symlink("../bin", root.join("bin/link")).unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(b"end", 5_000_000).unwrap();
    for (name, kind) in [
        ("dev/sda", FileType::BlockDevice),
        ("dev/null", FileType::CharacterDevice),
    ] {
        mknodat(CWD, root.join(name), kind, Mode::RWXU, makedev(8, 0))
            .unwrap_or_else(|error| panic!("device nodes can be made by root only: {error}"));
    }
    drop(UnixListener::bind(root.join("socket")).unwrap());
    mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    root
}

fn attribute(path: &Path) {
    setxattr(path, "user.colour", b"red", XattrFlags::empty())
        .expect("a temporary directory with extended attributes");
}

#[test]
fn privileged_mksquashfs_keeps_links_and_attributes() {
    let workshop = Workshop::new();
    let root = tree(&workshop);
    attribute(&root.join("bin/program"));
    let manifest = manifest();
    let extra = [(PathBuf::from("/share/a \"name\".json"), b"{}\n".to_vec())];
    for compression in Compression::ALL {
        let options = PackOptions {
            root: Some(&root),
            key: Some(&workshop.key),
            packer: MKSQUASHFS,
            compression,
            extra: &extra,
            mtime: 1_000_000_000,
            ..PackOptions::new(&manifest)
        };
        let packed = pack(&options, workshop.directory.path()).unwrap();
        assert_eq!(
            packed.warnings,
            [
                Warning::SocketDropped {
                    path: "socket".into()
                },
                Warning::DeviceDropped {
                    path: "dev/null".into()
                },
                Warning::DeviceDropped {
                    path: "dev/sda".into()
                },
            ]
        );
        let mounted = Mounted::new(&packed.path, workshop.path(compression.as_str()));
        let inside = |name: &str| mounted.0.join(name);
        let metadata = |name: &str| fs::symlink_metadata(inside(name)).unwrap();
        let (program, other) = (metadata("bin/program"), metadata("bin/other"));
        assert_eq!((program.ino(), program.nlink()), (other.ino(), 2));
        assert_eq!(program.mode() & 0o7777, 0o4755);
        let mut value = [0; 16];
        let size = rustix::fs::getxattr(inside("bin/other"), "user.colour", &mut value).unwrap();
        assert_eq!(&value[..size], b"red");
        assert!(!inside("dev/sda").exists() && !inside("socket").exists());
        assert_eq!(metadata("dev/null").rdev(), makedev(1, 3));
        assert_eq!(metadata("a directory/with spaces").mode(), 0o40755);
        assert_eq!(fs::read(inside("share/a \"name\".json")).unwrap(), b"{}\n");
        let sparse = fs::read(inside("sparse")).unwrap();
        assert_eq!(
            (sparse.len(), &sparse[5_000_000..]),
            (5_000_003, b"end".as_slice())
        );
        for name in ["", "bin", "dev/null", "share", "fifo", "bin/link"] {
            let metadata = metadata(name);
            let attributes = (metadata.uid(), metadata.gid(), metadata.mtime());
            assert_eq!(attributes, (1234, 4321, 1_000_000_000), "{name}");
        }
    }
}

#[test]
fn privileged_mksquashfs_is_reproducible_and_can_drop_attributes() {
    let workshop = Workshop::new();
    let root = tree(&workshop);
    let manifest = manifest();
    let with = |threads, xattrs| {
        let options = PackOptions {
            root: Some(&root),
            packer: Packer::Mksquashfs {
                program: None,
                threads: NonZeroUsize::new(threads),
            },
            xattrs,
            block_size: Some(4096),
            ..PackOptions::new(&manifest)
        };
        let packed = pack(&options, workshop.directory.path()).unwrap();
        (fs::read(&packed.path).unwrap(), packed.warnings)
    };
    let (plain, _) = with(1, Xattrs::Refuse);
    assert!(with(2, Xattrs::Refuse).0 == plain);
    let (without, _) = with(1, Xattrs::Drop);
    attribute(&root.join("bin/program"));
    assert!(with(2, Xattrs::Refuse).0 != plain);
    let (dropped, warnings) = with(2, Xattrs::Drop);
    assert!(dropped == without);
    // One file with two names.
    let dropped = |path: &str| Warning::AttributeDropped {
        path: path.into(),
        attribute: "user.colour".to_owned(),
    };
    assert!(warnings.contains(&dropped("bin/program")) && warnings.contains(&dropped("bin/other")));
}

#[test]
fn mksquashfs_packs_mount_points_alone() {
    let workshop = Workshop::new();
    let manifest = manifest();
    let options = PackOptions {
        key: Some(&workshop.key),
        packer: MKSQUASHFS,
        ..PackOptions::new(&manifest)
    };
    let theirs = pack(&options, workshop.directory.path()).unwrap();
    let entries = |path: &Path| {
        let file = File::open(path).unwrap();
        let package = Package::open(&file, None).unwrap();
        list(&file, package.image()).unwrap()
    };
    let found = entries(&theirs.path);
    let ours = workshop.pack(MANIFEST, None, Compression::Gzip);
    assert_eq!(found, entries(&ours.path));
}

/// A program that says it is another one.
fn script(workshop: &Workshop, name: &str, text: &str) -> PathBuf {
    let path = workshop.path(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn failures_of_mksquashfs_are_told_apart() {
    let workshop = Workshop::new();
    let manifest = manifest();
    let out = workshop.path("out");
    fs::create_dir(&out).unwrap();
    let with = |program: &Path| {
        let options = PackOptions {
            packer: Packer::Mksquashfs {
                program: Some(program),
                threads: None,
            },
            ..PackOptions::new(&manifest)
        };
        let error = pack(&options, &out).unwrap_err();
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "{error}");
        match error {
            PackError::Squashfs(error) => error,
            other => panic!("{other:?}"),
        }
    };
    let missing = workshop.path("missing");
    assert!(matches!(
        with(&missing),
        SquashfsError::Mksquashfs { program, source }
            if program == missing && source.kind() == std::io::ErrorKind::NotFound
    ));
    let old = script(
        &workshop,
        "old",
        "echo 'mksquashfs version 4.3 (2014/05/12)'",
    );
    assert!(matches!(
        with(&old),
        SquashfsError::MksquashfsVersion { found, .. } if found.contains("4.3")
    ));
    let failing = script(
        &workshop,
        "failing",
        "test \"$1\" = -version && echo 'mksquashfs version 4.6' && exit\necho no room >&2\nexit 3",
    );
    assert!(matches!(
        with(&failing),
        SquashfsError::MksquashfsFailed { status, stderr, .. }
            if status.code() == Some(3) && stderr == "no room"
    ));
    // One that claims success and wrote something else than what was asked for.
    let lying = script(
        &workshop,
        "lying",
        "test \"$1\" = -version && exec mksquashfs -version\nmkdir other\nexec mksquashfs other image -quiet",
    );
    assert!(matches!(with(&lying), SquashfsError::Differs { .. }));
}

/// An image of `mksquashfs` with these arguments.
fn image(workshop: &Workshop, root: &Path, arguments: &[&str]) -> PathBuf {
    let path = workshop.path("made-elsewhere.img");
    let _ = fs::remove_file(&path);
    let (from, to) = (root.to_str().unwrap(), path.to_str().unwrap());
    let common = [from, to, "-quiet", "-no-progress"];
    run("mksquashfs", &[common.as_slice(), arguments].concat());
    path
}

fn pack_image(workshop: &Workshop, path: &Path) -> Result<PathBuf, SquashfsError> {
    let manifest = manifest();
    let options = PackOptions {
        key: Some(&workshop.key),
        packer: Packer::Image { path },
        ..PackOptions::new(&manifest)
    };
    let out = workshop.path("out");
    fs::create_dir_all(&out).unwrap();
    match pack(&options, &out) {
        Ok(packed) => Ok(packed.path),
        Err(PackError::Squashfs(error)) => {
            assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "{error}");
            Err(error)
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// A directory that has the mount points.
fn complete(workshop: &Workshop) -> PathBuf {
    let root = workshop.path("complete");
    for name in ["dev", "proc", "data", "a directory/with spaces"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::write(root.join("file"), vec![b'f'; 200_000]).unwrap();
    root
}

#[test]
fn an_image_made_elsewhere_is_packed_as_it_is() {
    let workshop = Workshop::new();
    let root = complete(&workshop);
    for arguments in [
        ["-b", "4096"],
        ["-comp", "xz"],
        ["-comp", "lz4"],
        ["-nopad", "-all-root"],
    ] {
        let path = image(&workshop, &root, &arguments);
        let packed = pack_image(&workshop, &path).unwrap();
        let file = File::open(packed).unwrap();
        let package = Package::open(&file, Some(&workshop.key.public())).unwrap();
        verify_image(&file, package.image()).unwrap();
        let mut expected = fs::read(&path).unwrap();
        expected.resize(expected.len().next_multiple_of(4096), 0);
        let image = package.image();
        let mut found = vec![0; image.squashfs_size as usize];
        file.read_exact_at(&mut found, image.offset).unwrap();
        assert!(found == expected, "{arguments:?}");
        let files = list(&file, image).unwrap();
        let file = files.iter().find(|entry| entry.path == Path::new("/file"));
        assert_eq!(file.unwrap().kind, EntryKind::File { size: 200_000 });
        fs::remove_dir_all(workshop.path("out")).unwrap();
    }
}

#[test]
fn a_missing_mount_point_is_named() {
    let workshop = Workshop::new();
    let root = complete(&workshop);
    fs::remove_dir(root.join("data")).unwrap();
    let path = image(&workshop, &root, &[]);
    assert!(matches!(
        pack_image(&workshop, &path),
        Err(SquashfsError::MountPointMissing { mount_point }) if mount_point == Path::new("/data")
    ));
    // A link is none, and neither is a file, unless something of the host is bound to it.
    for kind in ["link", "file"] {
        let _ = fs::remove_file(root.join("data"));
        match kind {
            "link" => symlink("dev", root.join("data")).unwrap(),
            _ => fs::write(root.join("data"), b"").unwrap(),
        }
        let path = image(&workshop, &root, &[]);
        assert!(matches!(
            pack_image(&workshop, &path),
            Err(SquashfsError::MountPoint { mount_point }) if mount_point == Path::new("/data")
        ));
    }
}

#[test]
fn what_is_no_image_is_refused() {
    let workshop = Workshop::new();
    let root = complete(&workshop);
    let path = image(&workshop, &root, &[]);
    let good = fs::read(&path).unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        pack_image(&workshop, &path).unwrap_err()
    };
    for (change, field) in [
        (
            &(|bytes: &mut Vec<u8>| bytes.truncate(95)) as &dyn Fn(&mut Vec<u8>),
            "size",
        ),
        (&|bytes| bytes[0] ^= 1, "magic"),
        (&|bytes| bytes[28] = 3, "version"),
        // More than the file has: it is cut off.
        (&|bytes| bytes.truncate(150), "size"),
        (&|bytes| bytes[71] = 1, "inode table"),
    ] {
        let error = with(change);
        assert!(
            matches!(error, SquashfsError::Superblock { field: found } if found == field),
            "{field}: {error:?}"
        );
    }
    let size = good.len() as u64;
    let error = with(&|bytes| bytes.extend_from_slice(b"\0\0x"));
    assert!(matches!(
        error,
        SquashfsError::TrailingData { offset, .. } if offset == size + 2
    ));
    // A block that does not decompress.
    let error = with(&|bytes| bytes[96..120].fill(0xff));
    assert!(matches!(error, SquashfsError::ReadFile { .. }), "{error:?}");
    let missing = workshop.path("missing");
    assert!(matches!(
        pack_image(&workshop, &missing),
        Err(SquashfsError::Source { path, .. }) if path == missing
    ));
}

#[test]
fn an_image_and_a_directory_exclude_each_other() {
    let workshop = Workshop::new();
    let root = complete(&workshop);
    let path = image(&workshop, &root, &[]);
    let manifest = manifest();
    let plain = PackOptions {
        packer: Packer::Image { path: &path },
        ..PackOptions::new(&manifest)
    };
    let extra = [(PathBuf::from("/x"), Vec::new())];
    let with_root = PackOptions {
        root: Some(&root),
        ..plain
    };
    let with_extra = PackOptions {
        extra: &extra,
        ..plain
    };
    for options in [with_root, with_extra] {
        let error = pack(&options, workshop.directory.path()).unwrap_err();
        assert!(matches!(error, PackError::ImageAndTree));
    }
}
