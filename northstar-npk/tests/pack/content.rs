//! What of a tree and a manifest is in the image.

use super::*;

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
