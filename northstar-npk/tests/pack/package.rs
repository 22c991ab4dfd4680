//! The package around the image, and what is no package.

use super::*;

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
