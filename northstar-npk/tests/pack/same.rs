//! The same input gives the same package, and what is equal in it is there once.

use super::*;

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
