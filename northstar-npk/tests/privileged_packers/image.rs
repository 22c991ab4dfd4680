//! Images that were made elsewhere.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use northstar_npk::Package;
use northstar_npk::pack::{PackError, PackOptions, Packer, pack};
use northstar_npk::squashfs::{EntryKind, SquashfsError, list};
use northstar_npk::verity::verify_image;

use crate::common::{Workshop, run};
use crate::manifest;

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
