//! What goes into a package, and that it is always the same.

#![cfg(test)]

mod common;

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

#[test]
fn mount_points_have_the_modes_of_the_reference_packer() {
    let workshop = Workshop::new();
    let packed = workshop.pack(MOUNTS, None, Compression::Gzip);
    let found: Vec<(String, u16, EntryKind)> = files(&packed.path)
        .into_iter()
        .map(|entry| {
            assert_eq!((entry.uid, entry.gid, entry.mtime), (1234, 4321, 0));
            (
                entry.path.to_str().unwrap().to_owned(),
                entry.mode,
                entry.kind,
            )
        })
        .collect();
    let directory = |path: &str, mode| (path.to_owned(), mode, EntryKind::Directory);
    let device = |path: &str, major, minor| {
        let kind = EntryKind::CharacterDevice { major, minor };
        (path.to_owned(), 0o666, kind)
    };
    let link = |path: &str, target: &str| {
        let target = target.into();
        (path.to_owned(), 0o777, EntryKind::Symlink { target })
    };
    assert_eq!(
        found,
        [
            directory("/", 0o755),
            directory("/data", 0o755),
            directory("/dev", 0o755),
            link("/dev/fd", "/proc/self/fd"),
            device("/dev/full", 1, 7),
            device("/dev/null", 1, 3),
            device("/dev/random", 1, 8),
            link("/dev/stderr", "/proc/self/fd/2"),
            link("/dev/stdin", "/proc/self/fd/0"),
            link("/dev/stdout", "/proc/self/fd/1"),
            device("/dev/tty", 5, 0),
            device("/dev/urandom", 1, 9),
            device("/dev/zero", 1, 5),
            directory("/etc", 0o755),
            directory("/etc/file", 0o555),
            directory("/lib", 0o555),
            directory("/proc", 0o444),
            directory("/res", 0o555),
            directory("/sockets", 0o755),
            directory("/sys", 0o444),
            directory("/tmp", 0o755),
            directory("/var", 0o755),
            directory("/var/deep", 0o755),
            directory("/var/deep/rw", 0o755),
        ]
    );
}

#[test]
fn without_proc_there_are_no_links_into_it() {
    let workshop = Workshop::new();
    let yaml = MOUNTS.replace("  /proc: {type: proc}\n", "");
    let packed = workshop.pack(&yaml, None, Compression::Gzip);
    let links = files(&packed.path)
        .into_iter()
        .filter(|entry| matches!(entry.kind, EntryKind::Symlink { .. }))
        .count();
    assert_eq!(links, 0);
}

#[test]
fn the_tree_is_packed_as_it_is() {
    let workshop = Workshop::new();
    let root = tree(&workshop);
    for compression in ALL {
        let packed = workshop.pack(MOUNTS, Some(&root), compression);
        let files = files(&packed.path);
        let find = |path: &str| {
            let found = files.iter().find(|entry| entry.path == Path::new(path));
            let entry = found.unwrap();
            (entry.mode, entry.kind.clone())
        };
        assert_eq!(find("/"), (0o750, EntryKind::Directory));
        assert_eq!(find("/init"), (0o755, EntryKind::File { size: 7 }));
        // A file can be what a bind is mounted on.
        assert_eq!(find("/etc/file").1, EntryKind::File { size: 200_000 });
        assert_eq!(find("/etc/empty").1, EntryKind::File { size: 0 });
        let target = "../init".into();
        assert_eq!(find("/etc/link").1, EntryKind::Symlink { target });
        assert_eq!(find("/fifo"), (0o600, EntryKind::Fifo));
    }
}

#[test]
fn an_image_without_any_file_can_be_packed() {
    let workshop = Workshop::new();
    for compression in ALL {
        let yaml = "name: empty\nversion: 1.0.0\nuid: 77\ngid: 88\n";
        let packed = workshop.pack(yaml, None, compression);
        let files = files(&packed.path);
        assert_eq!(files.len(), 1);
        assert_eq!((files[0].uid, files[0].gid), (77, 88));
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let workshop = Workshop::new();
    let root = tree(&workshop);
    for compression in ALL {
        let packed = workshop.pack(MOUNTS, Some(&root), compression);
        let first = fs::read(&packed.path).unwrap();
        let touched = File::open(root.join("init")).unwrap();
        touched.set_modified(std::time::SystemTime::now()).unwrap();
        let packed = workshop.pack(MOUNTS, Some(&root), compression);
        assert!(fs::read(&packed.path).unwrap() == first, "{compression}");
    }
}

/// Makes one tree, with its files in one order or the other.
fn copy_of_a_tree(root: &Path, reversed: bool) {
    let mut names: Vec<String> = (0..50).map(|number| format!("file-{number:03}")).collect();
    if reversed {
        names.reverse();
    }
    fs::create_dir_all(root.join("sub/deep")).unwrap();
    for name in &names {
        let content = name.repeat(500);
        for path in [root.join(name), root.join("sub").join(name)] {
            fs::write(&path, &content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        }
    }
    for directory in ["", "sub", "sub/deep"] {
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(root.join(directory), mode).unwrap();
    }
    symlink("../file-007", root.join("sub/link")).unwrap();
}

#[test]
fn copies_of_a_tree_give_the_same_bytes() {
    let workshop = Workshop::new();
    let (first, second) = (workshop.path("a"), workshop.path("a much/longer/path"));
    copy_of_a_tree(&first, false);
    copy_of_a_tree(&second, true);
    for compression in Compression::ALL {
        let bytes = [&first, &second].map(|root| {
            let packed = workshop.pack(MOUNTS, Some(root), compression);
            fs::read(packed.path).unwrap()
        });
        assert!(bytes[0] == bytes[1], "{compression}");
    }
}

#[test]
fn files_that_are_linked_or_equal_share_their_data() {
    let workshop = Workshop::new();
    let root = workshop.path("root");
    fs::create_dir(&root).unwrap();
    let mut state = 7_u32;
    let noise: Vec<u8> = (0..1_000_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    fs::write(root.join("original"), &noise).unwrap();
    let alone = workshop.pack(MOUNTS, Some(&root), Compression::Gzip).size;
    fs::write(root.join("copy"), &noise).unwrap();
    for number in 0..10 {
        let link = root.join(format!("link-{number}"));
        fs::hard_link(root.join("original"), link).unwrap();
    }
    let packed = workshop.pack(MOUNTS, Some(&root), Compression::Gzip);
    assert!(
        packed.size < alone + 10_000,
        "{} instead of {alone}",
        packed.size
    );
    let size = noise.len() as u64;
    let copies = files(&packed.path)
        .into_iter()
        .filter(|entry| entry.kind == EntryKind::File { size })
        .count();
    assert_eq!(copies, 12);
}

/// Files of any size are there once, under all their names, in directories of any size.
#[test]
fn hard_links_are_one_file_with_several_names() {
    let workshop = Workshop::new();
    let root = workshop.path("root");
    fs::create_dir_all(root.join("many/deep")).unwrap();
    fs::create_dir(root.join("a")).unwrap();
    let mut state = 3_u32;
    let mut noise = |size: usize| -> Vec<u8> {
        let byte = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..size).map(byte).collect()
    };
    let contents = [
        ("empty", Vec::new()),
        ("short", noise(3000)),
        ("long", noise(300_000)),
        ("holes", [noise(200_000), vec![0; 400_000]].concat()),
    ];
    for (name, content) in &contents {
        fs::write(root.join("many").join(name), content).unwrap();
    }
    // Entries of more than 64 KiB, and inodes of more than one block.
    for number in 0..900 {
        let name = format!("many/deep/{}-{number}", "n".repeat(100));
        fs::write(root.join(name), number.to_string()).unwrap();
    }
    let alone = Compression::ALL.map(|compression| {
        let packed = workshop.pack(MOUNTS, Some(&root), compression);
        packed.size
    });
    let mut expected = Vec::new();
    for (name, _) in &contents {
        let first = root.join("many").join(name);
        fs::hard_link(&first, root.join("a").join(name)).unwrap();
        expected.push((format!("/many/{name}"), format!("/a/{name}")));
        for number in 0..400 {
            let link = format!("many/deep/{name}-{number}");
            fs::hard_link(&first, root.join(&link)).unwrap();
            expected.push((format!("/{link}"), format!("/a/{name}")));
        }
    }
    expected.sort();
    for (compression, alone) in Compression::ALL.into_iter().zip(alone) {
        let packed = workshop.pack(MOUNTS, Some(&root), compression);
        // Names, but no data: 1600 times 3000 bytes would be 4.8 MB.
        let more = packed.size.saturating_sub(alone);
        assert!(more < 70_000, "{compression}: {more}");
        let file = File::open(&packed.path).unwrap();
        let package = Package::open(&file, None).unwrap();
        let listed = list(&file, package.image()).unwrap();
        let links = listed.iter().filter_map(|entry| {
            let name = |path: &Path| path.to_str().unwrap().to_owned();
            Some((name(&entry.path), name(entry.link.as_deref()?)))
        });
        let mut links: Vec<_> = links.collect();
        links.sort();
        assert_eq!(links, expected, "{compression}");
        for (name, content) in &contents {
            let path = format!("/many/deep/{name}-399");
            let read = read_file(&file, package.image(), Path::new(&path), 1_000_000);
            assert!(
                read.unwrap().as_ref() == Some(content),
                "{compression} {path}"
            );
        }
    }
}

#[test]
fn holes_are_packed_as_holes() {
    let workshop = Workshop::new();
    let root = workshop.path("root");
    fs::create_dir(&root).unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(b"end", 10_000_000).unwrap();
    for compression in Compression::ALL {
        let packed = workshop.pack(MOUNTS, Some(&root), compression);
        assert!(packed.size < 200_000, "{compression}: {}", packed.size);
    }
}

#[test]
fn a_link_to_a_path_that_is_too_long_is_named() {
    let workshop = Workshop::new();
    let root = workshop.path("root");
    fs::create_dir(&root).unwrap();
    let longest = PathBuf::from("l".repeat(255));
    symlink(&longest, root.join("longest")).unwrap();
    for compression in ALL {
        let packed = workshop.pack(MOUNTS, Some(&root), compression);
        let target = longest.clone();
        let kind = EntryKind::Symlink { target };
        assert!(files(&packed.path).iter().any(|entry| entry.kind == kind));
    }
    symlink("l".repeat(256), root.join("longer")).unwrap();
    let manifest = manifest(MOUNTS);
    for packer in [
        Packer::Builtin,
        Packer::Mksquashfs {
            program: None,
            threads: None,
        },
    ] {
        let options = PackOptions {
            root: Some(&root),
            packer,
            ..options(&workshop, &manifest)
        };
        let out = workshop.path("out.npk");
        let error = pack(&options, &out).unwrap_err();
        assert!(matches!(
            error,
            PackError::Squashfs(SquashfsError::SymlinkTarget { path, size: 256, limit: 255 })
                if path == Path::new("longer")
        ));
        assert!(!out.exists());
    }
}

#[test]
fn sockets_are_left_out() {
    let workshop = Workshop::new();
    let root = tree(&workshop);
    drop(std::os::unix::net::UnixListener::bind(root.join("etc/socket")).unwrap());
    let packed = workshop.pack(MOUNTS, Some(&root), Compression::Gzip);
    let path = PathBuf::from("etc/socket");
    assert_eq!(packed.warnings, [Warning::SocketDropped { path }]);
    let is_socket = |entry: &Entry| entry.path == Path::new("/etc/socket");
    assert!(!files(&packed.path).iter().any(is_socket));
}

#[test]
fn the_time_is_that_of_the_options() {
    let workshop = Workshop::new();
    let root = tree(&workshop);
    let manifest = manifest(MOUNTS);
    let options = PackOptions {
        root: Some(&root),
        mtime: 1_700_000_000,
        ..options(&workshop, &manifest)
    };
    let packed = pack(&options, workshop.directory.path()).unwrap();
    for entry in files(&packed.path) {
        assert_eq!(entry.mtime, 1_700_000_000, "{}", entry.path.display());
    }
}

#[test]
fn signed_packages_verify_and_unsigned_ones_have_no_tree() {
    let workshop = Workshop::new();
    let root = tree(&workshop);
    let key = workshop.key.public();
    for compression in ALL {
        let packed = workshop.pack(MOUNTS, Some(&root), compression);
        assert_eq!(packed.path, workshop.path("mounts-0.1.0.npk"));
        assert_eq!(packed.container.to_string(), "mounts:0.1.0");
        let file = File::open(&packed.path).unwrap();
        assert_eq!(packed.size, file.metadata().unwrap().len());
        let package = Package::open(&file, Some(&key)).unwrap();
        assert_eq!(package.manifest(), &manifest(MOUNTS));
        assert_eq!(package.format_version().to_string(), "0.9.2");
        assert_eq!(
            package.hashes().map(|hashes| hashes.verity_root),
            packed.root_hash
        );
        verity::verify_image(&file, package.image()).unwrap();
        package.archive().check_image(&file).unwrap();
    }
    let manifest = manifest(MOUNTS);
    let options = PackOptions {
        key: None,
        ..options(&workshop, &manifest)
    };
    let path = workshop.path("unsigned.npk");
    let packed = pack(&options, &path).unwrap();
    assert_eq!(
        (packed.path.as_path(), packed.root_hash),
        (path.as_path(), None)
    );
    let file = File::open(&path).unwrap();
    let error = Package::open(&file, Some(&key)).unwrap_err();
    assert!(matches!(error, OpenError::Unsigned));
    let package = Package::open(&file, None).unwrap();
    assert_eq!(package.image().size, package.image().squashfs_size);
}

#[test]
fn clones_differ_in_their_names_only() {
    let workshop = Workshop::new();
    let manifest = manifest(MOUNTS);
    let out = workshop.path("clones");
    fs::create_dir(&out).unwrap();
    let packed = pack_clones(&options(&workshop, &manifest), 11, &out).unwrap();
    let names: Vec<String> = packed
        .iter()
        .map(|packed| packed.container.to_string())
        .collect();
    assert_eq!(names.len(), 11);
    assert_eq!(names[0], "mounts-00:0.1.0");
    assert_eq!(names[10], "mounts-10:0.1.0");
    let squashfs = |packed: &Packed| {
        let file = File::open(&packed.path).unwrap();
        let package = Package::open(&file, None).unwrap();
        let image = package.image();
        let mut bytes = vec![0; image.squashfs_size as usize];
        file.read_exact_at(&mut bytes, image.offset).unwrap();
        bytes
    };
    let first = squashfs(&packed[0]);
    for packed in &packed {
        assert!(squashfs(packed) == first, "{}", packed.container);
        let file = File::open(&packed.path).unwrap();
        let package = Package::open(&file, Some(&workshop.key.public())).unwrap();
        assert_eq!(package.container(), packed.container);
        verity::verify_image(&file, package.image()).unwrap();
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 11);
}

#[test]
fn a_package_is_readable_as_far_as_the_umask_allows() {
    let workshop = Workshop::new();
    let packed = workshop.pack(MOUNTS, None, Compression::Gzip);
    let plain = workshop.path("plain");
    File::create(&plain).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode();
    assert_eq!(mode(&packed.path), mode(&plain));
}

#[test]
fn fields_that_0_9_2_does_not_read_are_warned_of() {
    let workshop = Workshop::new();
    let packed = workshop.pack(
        "name: new\nversion: 1.0.0\ninit: /i\nuid: 100000\ngid: 1\ncgroups:\n  pids:\n    max: 5\n",
        None,
        Compression::Gzip,
    );
    let fields: Vec<&str> = packed
        .warnings
        .iter()
        .map(|warning| match warning {
            Warning::Compatibility(difference) => difference.field.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(fields, ["uid", "cgroups.pids"]);
    let plain = workshop.pack(MOUNTS, None, Compression::Gzip);
    assert_eq!(plain.warnings, []);
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

#[test]
fn a_mount_point_that_cannot_be_mounted_on_is_an_error() {
    let workshop = Workshop::new();
    let root = tree(&workshop);
    let error = failure(&workshop, &MOUNTS.replace("/data", "/init"), &root);
    assert!(matches!(
        error,
        PackError::Squashfs(SquashfsError::MountPoint { mount_point })
            if mount_point == Path::new("/init")
    ));
    let error = failure(&workshop, &MOUNTS.replace("/etc/file", "/etc/link"), &root);
    assert!(matches!(
        error,
        PackError::Squashfs(SquashfsError::MountPoint { mount_point })
            if mount_point == Path::new("/etc/link")
    ));
    let error = failure(&workshop, &MOUNTS.replace("/data", "/init/data"), &root);
    assert!(matches!(
        error,
        PackError::Squashfs(SquashfsError::MountPointParent { path, .. })
            if path == Path::new("/init")
    ));
}

#[test]
fn a_root_that_is_none_is_an_error() {
    let workshop = Workshop::new();
    let root = tree(&workshop);
    let error = failure(&workshop, MOUNTS, &root.join("init"));
    assert!(matches!(
        error,
        PackError::Squashfs(SquashfsError::NotADirectory { path }) if path == root.join("init")
    ));
    let error = failure(&workshop, MOUNTS, &root.join("missing"));
    assert!(matches!(
        error,
        PackError::Squashfs(SquashfsError::Source { path, .. }) if path == root.join("missing")
    ));
}

#[test]
fn a_manifest_that_is_too_large_is_an_error() {
    let workshop = Workshop::new();
    let mut manifest = manifest(MOUNTS);
    manifest.args = vec!["x".repeat(65_536)];
    let path = workshop.path("package.npk");
    let error = pack(&options(&workshop, &manifest), &path).unwrap_err();
    assert!(matches!(
        error,
        PackError::ManifestYaml(WriteError::TooLarge { size, .. }) if size > 65_536
    ));
    assert!(!path.exists());
}

#[test]
fn extended_attributes_are_refused_or_dropped() {
    let workshop = Workshop::new();
    let root = tree(&workshop);
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(root.join("init"), "user.colour", b"red", flags)
        .expect("a temporary directory with extended attributes");
    let error = failure(&workshop, MOUNTS, &root);
    assert!(matches!(
        error,
        PackError::Squashfs(SquashfsError::ExtendedAttribute { path, attribute })
            if path == Path::new("init") && attribute == "user.colour"
    ));
    let manifest = manifest(MOUNTS);
    let options = PackOptions {
        root: Some(&root),
        xattrs: Xattrs::Drop,
        ..options(&workshop, &manifest)
    };
    let packed = pack(&options, workshop.directory.path()).unwrap();
    let dropped = Warning::AttributeDropped {
        path: "init".into(),
        attribute: "user.colour".to_owned(),
    };
    assert_eq!(packed.warnings, [dropped]);
}

#[test]
fn additional_files_are_in_the_image() {
    let workshop = Workshop::new();
    let root = tree(&workshop);
    let manifest = manifest(MOUNTS);
    let with = |path: &str, out: &Path| {
        let extra = [(PathBuf::from(path), b"{}".to_vec())];
        let options = PackOptions {
            root: Some(&root),
            extra: &extra,
            ..options(&workshop, &manifest)
        };
        pack(&options, out)
    };
    for path in ["usr/share/sbom.json", "/sbom.json", "/etc//more"] {
        let packed = with(path, &workshop.path("extra.npk")).unwrap();
        let files = files(&packed.path);
        let wanted = Path::new("/").join(path);
        let entry = files.iter().find(|entry| entry.path == wanted).unwrap();
        assert_eq!(entry.kind, EntryKind::File { size: 2 });
        assert_eq!((entry.mode, entry.uid, entry.gid), (0o644, 1234, 4321));
    }
    let out = workshop.path("refused.npk");
    for path in ["", "/", "../up", "/etc/../init"] {
        assert!(
            matches!(
                with(path, &out),
                Err(PackError::Squashfs(SquashfsError::ExtraPath { path: found }))
                    if found == Path::new(path)
            ),
            "{path}"
        );
    }
    for (path, existing) in [("init", "/init"), ("/init/x", "/init"), ("etc", "/etc")] {
        assert!(
            matches!(
                with(path, &out),
                Err(PackError::Squashfs(SquashfsError::ExtraExists { existing: found, .. }))
                    if found == Path::new(existing)
            ),
            "{path}"
        );
    }
    assert!(!out.exists());
}

#[test]
fn block_sizes_are_those_of_squashfs() {
    let workshop = Workshop::new();
    let root = tree(&workshop);
    let manifest = manifest(MOUNTS);
    let with = |block_size| {
        let options = PackOptions {
            root: Some(&root),
            block_size: Some(block_size),
            ..options(&workshop, &manifest)
        };
        pack(&options, workshop.directory.path())
    };
    for size in [0, 2048, 4097, 2 << 20] {
        assert!(matches!(
            with(size),
            Err(PackError::Squashfs(SquashfsError::BlockSize { size: found })) if found == size
        ));
    }
    for size in [4096, 65_536, 1 << 20] {
        let packed = with(size).unwrap();
        let file = File::open(&packed.path).unwrap();
        let offset = Package::open(&file, None).unwrap().image().offset;
        // Where the superblock has it: after magic, inode count and time.
        let mut field = [0; 4];
        file.read_exact_at(&mut field, offset + 12).unwrap();
        assert_eq!(u32::from_le_bytes(field), size);
    }
}

/// How far packing came, as it told.
fn told(options: &PackOptions<'_>, out: &Path) -> Vec<Progress> {
    let told = Mutex::new(Vec::new());
    let tell = |progress| told.lock().unwrap().push(progress);
    let options = PackOptions {
        progress: Some(&tell),
        ..*options
    };
    pack(&options, out).unwrap();
    told.into_inner().unwrap()
}

#[test]
fn progress_reaches_the_end_of_every_stage_in_order() {
    let workshop = Workshop::new();
    let root = tree(&workshop);
    fs::write(root.join("large"), vec![7; 3_000_000]).unwrap();
    let manifest = manifest(MOUNTS);
    let options = PackOptions {
        root: Some(&root),
        compression: Compression::None,
        ..options(&workshop, &manifest)
    };
    let told = told(&options, workshop.directory.path());
    let stages: Vec<_> = told.chunk_by(|a, b| a.stage == b.stage).collect();
    let expected = [
        (Stage::Scan, 0),
        (Stage::Image, 3_200_007),
        (Stage::HashTree, 0),
        (Stage::Archive, 0),
        (Stage::Check, 3_200_007),
    ];
    assert_eq!(stages.len(), expected.len());
    for (reports, (stage, total)) in stages.into_iter().zip(expected) {
        let last = reports.last().unwrap();
        assert_eq!(last.stage, stage);
        assert!(reports.is_sorted_by_key(|report| report.done));
        assert!(total == 0 || last.total == total, "{last:?}");
        assert!(last.total == 0 || last.done == last.total, "{last:?}");
        assert!(last.done > 0, "{last:?}");
    }
}

/// As root, `/dev/null` would be gone for all of the machine.
#[test]
fn only_regular_files_are_replaced() {
    let workshop = Workshop::new();
    let manifest = manifest(MOUNTS);
    let special = workshop.path("special");
    let _listener = UnixListener::bind(&special).unwrap();
    let link = workshop.path("link");
    symlink("special", &link).unwrap();
    for out in [&special, &link] {
        let error = pack(&options(&workshop, &manifest), out).unwrap_err();
        assert!(
            matches!(&error, PackError::Write { path, source }
                if path == out && source.kind() == io::ErrorKind::AlreadyExists),
            "{error:?}"
        );
    }
    let kind = fs::metadata(&link).unwrap().file_type();
    assert!(kind.is_socket());
    assert_eq!(fs::read_dir(workshop.directory.path()).unwrap().count(), 2);
}

#[test]
fn an_unwritable_destination_is_named() {
    let workshop = Workshop::new();
    let manifest = manifest(MOUNTS);
    let path = workshop.path("missing/package.npk");
    let error = pack(&options(&workshop, &manifest), &path).unwrap_err();
    assert!(matches!(
        error,
        PackError::Write { path, .. } if path == workshop.path("missing")
    ));
}
