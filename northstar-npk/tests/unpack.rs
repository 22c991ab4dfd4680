//! Unpacking gives back what was packed, and nothing an image says leads out of the target.

#![cfg(test)]

mod common;

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use common::Workshop;
use northstar_npk::Package;
use northstar_npk::squashfs::{Compression, SquashfsError};
use northstar_npk::unpack::{UnpackError, UnpackOptions, UnpackWarning, unpack, unpack_with};

const MANIFEST: &str = "name: unpack\nversion: 0.1.0\nuid: 1000\ngid: 1000\n";

fn unpack_to(package: &Path, target: &Path) -> Result<Vec<UnpackWarning>, UnpackError> {
    let file = File::open(package).unwrap();
    let package = Package::open(&file, None).unwrap();
    unpack(&file, &package, target)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_packed_comes_out_and_packs_to_the_same_bytes() {
    let workshop = Workshop::new();
    let root = workshop.path("root");
    fs::create_dir_all(root.join("sub/empty")).unwrap();
    fs::write(root.join("sub/file"), vec![b'y'; 300_000]).unwrap();
    symlink("/etc/passwd", root.join("sub/link")).unwrap();
    fs::hard_link(root.join("sub/file"), root.join("another-name")).unwrap();
    let mode = |mode| fs::Permissions::from_mode(mode);
    fs::set_permissions(root.join("sub/file"), mode(0o640)).unwrap();
    fs::set_permissions(root.join("sub/empty"), mode(0o500)).unwrap();
    fs::set_permissions(root.join("sub"), mode(0o555)).unwrap();
    for compression in Compression::ALL {
        let packed = workshop.pack(MANIFEST, Some(&root), compression);
        let bytes = fs::read(&packed.path).unwrap();
        let target = workshop.path(&compression.to_string());
        assert_eq!(unpack_to(&packed.path, &target).unwrap(), []);
        assert_eq!(names(&target), ["manifest.yaml", "root"]);

        let inode = |name: &str| fs::metadata(target.join("root").join(name)).unwrap().ino();
        assert_eq!(inode("sub/file"), inode("another-name"), "{compression}");

        let manifest = fs::read_to_string(target.join("manifest.yaml")).unwrap();
        let again = workshop.pack(&manifest, Some(&target.join("root")), compression);
        assert!(fs::read(&again.path).unwrap() == bytes, "{compression}");
    }
}

#[test]
fn reference_packages_unpack() {
    let workshop = Workshop::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let numbers: String = (1..=5000).map(|number| format!("{number}\n")).collect();
    for name in [
        "resource-gzip",
        "resource-gzip-0.9.1",
        "resource-lzo",
        "resource-unsigned",
        "resource-xz",
        "resource-zstd",
    ] {
        let target = workshop.path(name);
        let warnings = unpack_to(&fixtures.join(format!("{name}.npk")), &target).unwrap();
        assert_eq!(warnings, [], "{name}");
        let root = target.join("root");
        assert_eq!(names(&root), ["hello", "sub"], "{name}");
        assert_eq!(
            fs::read_to_string(root.join("sub/numbers")).unwrap(),
            numbers
        );
        let link = fs::read_link(root.join("sub/link")).unwrap();
        assert_eq!(link, Path::new("../hello"));
    }
}

#[test]
fn devices_are_left_out_and_set_id_bits_cleared() {
    let workshop = Workshop::new();
    let root = workshop.path("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("su"), b"").unwrap();
    fs::set_permissions(root.join("su"), fs::Permissions::from_mode(0o6755)).unwrap();
    let manifest =
        "name: a\nversion: 0.1.0\ninit: /su\nuid: 1\ngid: 1\nmounts:\n  /dev: {type: dev}\n";
    let packed = workshop.pack(manifest, Some(&root), Compression::Gzip);
    let target = workshop.path("target");
    let warnings = unpack_to(&packed.path, &target).unwrap();
    let devices = ["full", "null", "random", "tty", "urandom", "zero"].map(|name| {
        let path = Path::new("/dev").join(name);
        UnpackWarning::Device { path }
    });
    let set_id = UnpackWarning::SetId { path: "/su".into() };
    assert_eq!(warnings, [devices.as_slice(), &[set_id]].concat());
    let mode = fs::metadata(target.join("root/su"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o755);
    assert_eq!(names(&target.join("root/dev")), [""; 0]);
}

fn unpack_limited(
    package: &Path,
    target: &Path,
    options: UnpackOptions,
) -> Result<Vec<UnpackWarning>, UnpackError> {
    let file = File::open(package).unwrap();
    let package = Package::open(&file, None).unwrap();
    unpack_with(&file, &package, target, &options)
}

#[test]
fn set_id_bits_are_kept_on_request_only() {
    let workshop = Workshop::new();
    let root = workshop.path("root");
    fs::create_dir_all(root.join("group")).unwrap();
    fs::write(root.join("su"), b"").unwrap();
    for (name, mode) in [("su", 0o6755), ("group", 0o2775)] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let packed = workshop.pack(MANIFEST, Some(&root), Compression::Gzip);
    for (keep_set_id, expected) in [(false, [0o755, 0o775]), (true, [0o6755, 0o2775])] {
        let options = UnpackOptions {
            keep_set_id,
            ..UnpackOptions::default()
        };
        let target = workshop.path(&keep_set_id.to_string());
        let warnings = unpack_limited(&packed.path, &target, options).unwrap();
        assert_eq!(warnings.is_empty(), keep_set_id);
        let modes = ["su", "group"].map(|name| {
            let metadata = fs::metadata(target.join("root").join(name)).unwrap();
            metadata.mode() & 0o7777
        });
        assert_eq!(modes, expected);
    }
}

#[test]
fn zeros_take_no_room_and_count_all_the_same() {
    let workshop = Workshop::new();
    let root = workshop.path("root");
    fs::create_dir(&root).unwrap();
    let size = 6_000_000;
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(b"in between", 3_000_000).unwrap();
    sparse.set_len(size).unwrap();
    let packed = workshop.pack(MANIFEST, Some(&root), Compression::Gzip);
    assert!(packed.size < 100_000);
    let with = |max_bytes| UnpackOptions {
        max_bytes,
        ..UnpackOptions::default()
    };

    let target = workshop.path("small");
    let error = unpack_limited(&packed.path, &target, with(size - 1)).unwrap_err();
    assert!(matches!(error, UnpackError::TooLarge { limit } if limit == size - 1));
    assert!(!target.exists());

    unpack_limited(&packed.path, &target, with(size)).unwrap();
    let sparse = target.join("root/sparse");
    let metadata = fs::metadata(&sparse).unwrap();
    assert_eq!(metadata.len(), size);
    assert!(
        metadata.blocks() * 512 < size / 4,
        "{} blocks",
        metadata.blocks()
    );
    assert!(fs::read(sparse).unwrap() == fs::read(root.join("sparse")).unwrap());
}

#[test]
fn the_number_of_files_is_limited() {
    let workshop = Workshop::new();
    let root = workshop.path("root");
    fs::create_dir(&root).unwrap();
    for number in 0..20 {
        fs::write(root.join(number.to_string()), b"").unwrap();
    }
    let packed = workshop.pack(MANIFEST, Some(&root), Compression::Gzip);
    let with = |max_files| UnpackOptions {
        max_files,
        ..UnpackOptions::default()
    };
    let target = workshop.path("target");
    // The root counts as well.
    let error = unpack_limited(&packed.path, &target, with(20)).unwrap_err();
    assert!(matches!(error, UnpackError::TooMany { limit: 20 }));
    unpack_limited(&packed.path, &target, with(21)).unwrap();
}

#[test]
fn an_existing_target_is_not_touched() {
    let workshop = Workshop::new();
    let packed = workshop.pack(MANIFEST, None, Compression::Gzip);
    let target = workshop.path("target");
    fs::create_dir(&target).unwrap();
    unpack_to(&packed.path, &target).unwrap();
    // Now it is not empty any more.
    for target in [target, packed.path.clone()] {
        let error = unpack_to(&packed.path, &target).unwrap_err();
        assert!(matches!(error, UnpackError::Exists { path } if path == target));
    }
}

/// Where the squashfs image of a package is.
fn squashfs(package: &Path) -> Range<usize> {
    let file = File::open(package).unwrap();
    let image = Package::open(&file, None).unwrap().image().clone();
    let start = image.offset as usize;
    start..start + image.squashfs_size as usize
}

/// A package with the directory entry `from` of its image renamed to `to`, which no packer does.
fn hostile(workshop: &Workshop, root: &Path, renames: &[(&str, &str)]) -> PathBuf {
    let packed = workshop.pack(MANIFEST, Some(root), Compression::None);
    let mut bytes = fs::read(&packed.path).unwrap();
    for (from, to) in renames {
        assert_eq!(from.len(), to.len());
        let at: Vec<usize> = squashfs(&packed.path)
            .filter(|&at| bytes[at..].starts_with(from.as_bytes()))
            .collect();
        assert_eq!(at.len(), 1, "{from}");
        bytes[at[0]..at[0] + to.len()].copy_from_slice(to.as_bytes());
    }
    let path = workshop.path("hostile.npk");
    fs::write(&path, bytes).unwrap();
    path
}

/// Unpacks a hostile package, and sees that nothing is left of it and the outside is as it was.
fn refused(workshop: &Workshop, package: &Path, outside: &Path) -> UnpackError {
    let before = names(workshop.directory.path());
    let target = workshop.path("target");
    let error = unpack_to(package, &target).unwrap_err();
    assert!(!target.exists(), "{error}");
    assert_eq!(names(workshop.directory.path()), before, "{error}");
    assert_eq!(names(outside), [""; 0], "{error}");
    error
}

/// What is wrong with an entry of the root.
fn entry_problem(error: UnpackError) -> &'static str {
    match error {
        UnpackError::Squashfs(SquashfsError::Entry { path, what }) if path == Path::new("/") => {
            what
        }
        other => panic!("{other:?}"),
    }
}

/// A tree with a link to a directory outside, and that directory.
fn tree_with_link(workshop: &Workshop) -> (PathBuf, PathBuf) {
    let outside = workshop.path("outside");
    let root = workshop.path("root");
    fs::create_dir(&outside).unwrap();
    fs::create_dir_all(root.join("DIRECTORY-1")).unwrap();
    fs::write(root.join("DIRECTORY-1/written"), b"owned").unwrap();
    symlink(&outside, root.join("DIRECTORY-0")).unwrap();
    (root, outside)
}

#[test]
fn a_link_that_is_also_a_directory_is_not_followed() {
    let workshop = Workshop::new();
    let (root, outside) = tree_with_link(&workshop);
    let package = hostile(&workshop, &root, &[("DIRECTORY-1", "DIRECTORY-0")]);
    let error = refused(&workshop, &package, &outside);
    assert_eq!(entry_problem(error), "names are not sorted");
}

#[test]
fn a_name_that_leads_upwards_is_refused() {
    let workshop = Workshop::new();
    let (root, outside) = tree_with_link(&workshop);
    for name in ["..", "."] {
        // A name of the length of the replacement.
        let original = &"QZ"[..name.len()];
        fs::rename(root.join("DIRECTORY-1"), root.join(original)).unwrap();
        let package = hostile(
            &workshop,
            &root,
            &[(&format!("\0{original}"), &format!("\0{name}"))],
        );
        let error = refused(&workshop, &package, &outside);
        assert_eq!(entry_problem(error), "its name is impossible", "{name}");
        fs::rename(root.join(original), root.join("DIRECTORY-1")).unwrap();
    }
}

#[test]
fn a_name_that_is_a_path_stays_below_the_target() {
    let workshop = Workshop::new();
    let (root, outside) = tree_with_link(&workshop);
    let target = outside.join("victim");
    let name = "V".repeat(target.as_os_str().len());
    fs::write(root.join(&name), b"owned").unwrap();
    let package = hostile(&workshop, &root, &[(&name, target.to_str().unwrap())]);
    let error = refused(&workshop, &package, &outside);
    assert_eq!(entry_problem(error), "its name is impossible");
}

#[test]
fn a_second_root_is_refused() {
    let workshop = Workshop::new();
    let (root, outside) = tree_with_link(&workshop);
    fs::write(root.join("Q"), b"owned").unwrap();
    let packed = workshop.pack(MANIFEST, Some(&root), Compression::None);
    // The name of a file of one byte, in its directory entry: size 0, then the name.
    let bytes = fs::read(&packed.path).unwrap();
    let at: Vec<usize> = squashfs(&packed.path)
        .filter(|&at| bytes[at - 2..].starts_with(b"\0\0Q"))
        .collect();
    assert_eq!(at.len(), 1);
    let file = File::options().write(true).open(&packed.path).unwrap();
    file.write_all_at(b"/", at[0] as u64).unwrap();
    let error = refused(&workshop, &packed.path, &outside);
    assert_eq!(entry_problem(error), "its name is impossible");
}

#[test]
fn damaged_images_never_panic_nor_leave_anything() {
    let workshop = Workshop::new();
    let (root, outside) = tree_with_link(&workshop);
    let packed = workshop.pack(MANIFEST, Some(&root), Compression::None);
    let file = File::options()
        .read(true)
        .write(true)
        .open(&packed.path)
        .unwrap();
    let image = Package::open(&file, None).unwrap().image().clone();
    let target = workshop.path("target");
    let mut refused = 0;
    // Every byte of the superblock and of the tables, which are all in the first block.
    for at in image.offset..image.offset + 700 {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0xff], at).unwrap();
        match unpack_to(&packed.path, &target) {
            Ok(_) => fs::remove_dir_all(&target).unwrap(),
            Err(_) => refused += 1,
        }
        assert_eq!(names(&outside), [""; 0], "byte {at}");
        assert!(!target.exists());
        file.write_all_at(&byte, at).unwrap();
    }
    assert!(refused > 100, "{refused}");
}
