//! What `mksquashfs` packs, and what it says when it does not.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use northstar_npk::Package;
use northstar_npk::pack::{PackError, PackOptions, Packer, Warning, pack};
use northstar_npk::squashfs::{Compression, SquashfsError, Xattrs, list};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};

use crate::common::{Mounted, Workshop};
use crate::{MANIFEST, manifest};

const MKSQUASHFS: Packer<'static> = Packer::Mksquashfs {
    program: None,
    threads: None,
};

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
