//! Images that were made to be read wrongly.

mod forge;

use std::fs::File;
use std::path::Path;
use std::process::Command;

use super::super::{Entry, EntryKind, list};
use super::directories::DEPTH;
use super::*;
use crate::package::Image;
use forge::{INODE, basic_directory, entry, file, header, image, image_with_root, inode, place};

/// Directories within each other.
fn nested(count: u32) -> (File, Image) {
    let (mut inodes, mut directories) = (Vec::new(), Vec::new());
    for number in 1..=count {
        let size = if number == count { 3 } else { 24 };
        inodes.extend(basic_directory(number, directories.len(), size));
        if number < count {
            let (block, offset) = place(number as usize * INODE);
            let header = header(1, block, number + 1);
            directories.extend([header, entry(offset, 0, 1, "a")].concat());
        }
    }
    image(count, &inodes, &directories)
}

#[test]
fn deep_trees_are_refused() {
    let (file, image) = nested(DEPTH as u32 + 1);
    assert_eq!(list(&file, &image).unwrap().len(), DEPTH + 1);
    for count in [DEPTH as u32 + 2, 30_000] {
        let (file, image) = nested(count);
        let error = list(&file, &image).unwrap_err();
        assert!(
            matches!(error, SquashfsError::Depth { limit: DEPTH }),
            "{count}: {error:?}"
        );
    }
}

#[test]
fn many_names_of_a_large_file_are_refused() {
    const BLOCKS: usize = 64 * 1024;
    let names = |count: usize| {
        let mut directory = Vec::new();
        for run in 0..count {
            directory.extend(header(256, 0, 2));
            for name in 0..256 {
                directory.extend(entry(INODE as u16, 0, 2, &format!("{run:02x}{name:02x}")));
            }
        }
        let mut inodes = basic_directory(1, 0, directory.len() as u16 + 3);
        inodes.extend(inode(2, 2));
        for field in [0, u32::MAX, 0, (BLOCKS * 4096) as u32] {
            inodes.extend(field.to_le_bytes());
        }
        inodes.extend(vec![0; 4 * BLOCKS]);
        image(2, &inodes, &directory)
    };
    let (file, image) = names(1);
    assert_eq!(list(&file, &image).unwrap().len(), 257);
    let (file, image) = names(20);
    let error = list(&file, &image).unwrap_err();
    assert!(
        matches!(error, SquashfsError::Listing { limit: MEMORY }),
        "{error:?}"
    );
}

/// A root with these entries, and two files of 11 and 22 bytes. Both are in a fragment that does not
/// exist, which nobody notices who does not read them.
fn two_files(entries: &[Vec<u8>]) -> (File, Image) {
    let directory = [header(entries.len() as u32, 0, 2), entries.concat()].concat();
    let root = basic_directory(1, 0, directory.len() as u16 + 3);
    let inodes = [root, file(2, 11), file(3, 22)].concat();
    image(3, &inodes, &directory)
}

/// Offsets of the inodes of the two files.
const FIRST: u16 = INODE as u16;
const SECOND: u16 = 2 * INODE as u16;

/// The problem that an image is refused for.
fn problem((file, image): (File, Image)) -> &'static str {
    match list(&file, &image).unwrap_err() {
        SquashfsError::Entry { path, what } if path == Path::new("/") => what,
        SquashfsError::Table { what, .. } => what,
        other => panic!("{other:?}"),
    }
}

/// Names and sizes of the files in the root, as `unsquashfs` has them, which follows references.
fn unsquashfs(image: &mut File) -> Vec<(String, u64)> {
    let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(image));
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("image");
    std::fs::copy(path, &copy).unwrap();
    let output = Command::new("unsquashfs").arg("-lls").arg(copy).output();
    let output = output.expect("unsquashfs (package squashfs-tools)");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let files = text.lines().filter(|line| line.starts_with('-'));
    let file = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let name = fields[5].trim_start_matches("squashfs-root/");
        (name.to_owned(), fields[2].parse().unwrap())
    };
    files.map(file).collect()
}

fn sizes(entries: Vec<Entry>) -> Vec<(String, u64)> {
    let files = entries.into_iter().filter_map(|entry| match entry.kind {
        EntryKind::File { size } => Some((entry.path.to_str()?[1..].to_owned(), size)),
        _ => None,
    });
    files.collect()
}

/// What is listed is what others see; and where they would see something else, nothing is listed.
#[test]
fn inodes_whose_number_and_reference_disagree_are_refused() {
    let good = [entry(FIRST, 0, 2, "a"), entry(SECOND, 1, 2, "b")];
    let (mut file, image) = two_files(&good);
    let listed = sizes(list(&file, &image).unwrap());
    assert_eq!(listed, [("a".to_owned(), 11), ("b".to_owned(), 22)]);
    assert_eq!(unsquashfs(&mut file), listed);

    // By their numbers nothing has changed, by their references the names are swapped.
    let swapped = [entry(SECOND, 0, 2, "a"), entry(FIRST, 1, 2, "b")];
    let (mut file, image) = two_files(&swapped);
    assert_eq!(
        unsquashfs(&mut file),
        [("a".to_owned(), 22), ("b".to_owned(), 11)]
    );
    assert_eq!(
        problem((file, image)),
        "number and reference stand for different inodes"
    );
    // Numbers that wrap around.
    let root = basic_directory(1, 0, 24);
    let wrapping = [header(1, 0, i32::MAX as u32), entry(0, 1, 1, "a")].concat();
    assert_eq!(
        problem(super::tests::image(1, &root, &wrapping)),
        "number and reference stand for different inodes"
    );
}

#[test]
fn entries_that_might_be_read_in_two_ways_are_refused() {
    let (a, b) = (entry(FIRST, 0, 2, "a"), entry(SECOND, 1, 2, "b"));
    let cases: [(Vec<Vec<u8>>, &str); 9] = [
        // The kernel stops to look for a name at the first one that is greater.
        (vec![b.clone(), a.clone()], "names are not sorted"),
        (vec![a.clone(), a.clone()], "names are not sorted"),
        // A pipe to whoever believes the directory, a file to whoever reads the inode.
        (
            vec![entry(FIRST, 0, 6, "a")],
            "it has another type than its inode",
        ),
        (vec![entry(FIRST + 1, 0, 2, "a")], "it refers to no inode"),
        (vec![entry(FIRST, 0, 2, "..")], "its name is impossible"),
        (vec![entry(FIRST, 0, 2, "/")], "its name is impossible"),
        (vec![entry(FIRST, 0, 2, "a/b")], "its name is impossible"),
        (vec![entry(FIRST, 0, 2, "a\0b")], "its name is impossible"),
        (
            vec![entry(FIRST, 0, 2, &"a".repeat(257))],
            "its name is impossible",
        ),
    ];
    for (entries, expected) in cases {
        assert_eq!(problem(two_files(&entries)), expected);
    }
    // A directory that ends within what its header announces. The library leaves out all of it, the kernel
    // shows what lies behind.
    let directory = [header(2, 0, 2), a, b].concat();
    for (size, expected) in [
        (12 + 9, "it is incomplete"),
        (12 + 9 + 4, "it is incomplete"),
        (5, "a header is incomplete"),
    ] {
        let root = basic_directory(1, 0, size + 3);
        let inodes = [root, file(2, 11), file(3, 22)].concat();
        assert_eq!(problem(image(3, &inodes, &directory)), expected);
    }
    // More than the kernel reads behind one header.
    let names = (0..257).map(|name| entry(FIRST, 0, 2, &format!("{name:03}")));
    let many = names.collect::<Vec<_>>();
    assert_eq!(problem(two_files(&many)), "a header is incomplete");
}

#[test]
fn an_index_that_leads_elsewhere_is_refused() {
    let run = |name| [header(1, 0, 2), entry(FIRST, 0, 2, name)].concat();
    let directory = [run("a"), run("b")].concat();
    let with = |position: u32, block: u32, name: &str| {
        let mut root = inode(8, 1);
        for field in [2, directory.len() as u32 + 3, 0, 0] {
            root.extend(field.to_le_bytes());
        }
        root.extend([1_u16.to_le_bytes(), 0_u16.to_le_bytes()].concat());
        root.extend(u32::MAX.to_le_bytes());
        for field in [position, block, name.len() as u32 - 1] {
            root.extend(field.to_le_bytes());
        }
        root.extend(name.as_bytes());
        // The file comes first here, for its reference to be known.
        let root_at = u64::from(SECOND);
        let inodes = [vec![0; 0], basic_directory(4, 0, 3), file(2, 11), root].concat();
        image_with_root(3, root_at, &inodes, &directory)
    };
    let (file, image) = with(21, 0, "b");
    assert_eq!(list(&file, &image).unwrap().len(), 3);
    for (position, block, name) in [
        (20, 0, "b"),
        (21, 0, "a"),
        (21, 8194, "b"),
        (0, 0, "b"),
        (42, 0, "c"),
    ] {
        assert_eq!(
            problem(with(position, block, name)),
            "the index leads elsewhere",
            "{position} {block} {name}"
        );
    }
}

#[test]
fn inodes_that_are_not_told_apart_by_their_numbers_are_refused() {
    let root = || basic_directory(1, 0, 3);
    let with = |count, inodes: &[Vec<u8>]| problem(image(count, &inodes.concat(), &[]));
    // The library keeps the last one, and believes this count.
    assert_eq!(
        with(2, &[root(), file(2, 11), file(2, 22)]),
        "two inodes have the same number"
    );
    assert_eq!(with(2, &[root()]), "it has not as many inodes as it should");
    assert_eq!(
        with(2, &[root(), file(2, 11)[..31].to_vec()]),
        "an inode is not complete"
    );
    assert_eq!(with(2, &[root(), inode(15, 2)]), "an inode is not complete");
    let symlink = [inode(3, 2), vec![1, 0, 0, 0, 0, 1, 0, 0], vec![b'l'; 256]];
    assert_eq!(
        with(2, &[root(), symlink.concat()]),
        "a symbolic link points to a path of more than 255 bytes"
    );
    let reference = |root| image_with_root(1, root, &basic_directory(1, 0, 3), &[]);
    for root in [1, 32, 1 << 16, u64::MAX] {
        assert_eq!(problem(reference(root)), "its root is not a directory");
    }
}

#[test]
fn directories_that_are_not_where_they_are_said_to_be_are_refused() {
    let one = [header(1, 0, 1), entry(0, 0, 1, "a")].concat();
    let mut extended = inode(8, 1);
    for field in [2, u32::MAX, 0, 0] {
        extended.extend(field.to_le_bytes());
    }
    extended.extend([0_u16.to_le_bytes(), 8_u16.to_le_bytes()].concat());
    extended.extend(u32::MAX.to_le_bytes());
    for (inodes, directories, expected) in [
        (extended, one.clone(), "the directory table is too short"),
        (
            basic_directory(1, 0, 25),
            one.clone(),
            "the directory table is too short",
        ),
        (
            basic_directory(1, 8192, 24),
            one.clone(),
            "they are not in the directory table",
        ),
        // In itself.
        (
            basic_directory(1, 0, 24),
            one,
            "a directory is in more than one place",
        ),
    ] {
        assert_eq!(problem(image(1, &inodes, &directories)), expected);
    }
}

/// Overwrites bytes of an image.
fn patched((file, image): (File, Image), at: u64, bytes: &[u8]) -> (File, Image) {
    use std::os::unix::fs::FileExt;
    file.write_all_at(bytes, at).unwrap();
    (file, image)
}

#[test]
fn tables_that_are_not_one_behind_the_other_are_refused() {
    let good = || two_files(&[entry(FIRST, 0, 2, "a")]);
    let (file, image) = good();
    list(&file, &image).unwrap();
    let size = image.size;
    // The pointer to the ids is what the image ends with, and in front of it are a header and one id.
    let block = size - 8 - 6;
    for (at, bytes, expected) in [
        (96, 0x8000_u64, "the size of a block is impossible"),
        (96, 0xa001, "the size of a block is impossible"),
        (96, 0x805f, "it does not end where the next one begins"),
        (96, 0x8061, "it does not end where the next one begins"),
        (block, 0x8003, "it has not as many entries as it should"),
        (size - 8, block + 1, "the size of a block is impossible"),
        (26, 0, "it is empty"),
        // Two blocks of ids, with a pointer that is the time of the first one.
        (16, 1, "there is none"),
    ] {
        let bytes = match at {
            16 => [1_u32.to_le_bytes(), (12 << 16 | 1_u32).to_le_bytes()].concat(),
            26 => vec![0, 0],
            at if at == size - 8 => bytes.to_le_bytes().to_vec(),
            _ => (bytes as u16).to_le_bytes().to_vec(),
        };
        assert_eq!(problem(patched(good(), at, &bytes)), expected, "byte {at}");
    }
}

/// Images of another packer with everything that the check looks at: an index for a large directory, inodes and
/// fragments of more than one block, extended attributes, hard links, and inodes by number for NFS.
#[test]
fn images_of_mksquashfs_with_every_table_are_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    let long = "long".repeat(40);
    std::fs::create_dir_all(tree.join("many")).unwrap();
    for number in 0..2500 {
        let name = format!("many/{long}-{number}");
        std::fs::write(tree.join(name), vec![number as u8; 3000]).unwrap();
    }
    let first = tree.join(format!("many/{long}-0"));
    std::fs::hard_link(&first, tree.join("linked")).unwrap();
    std::fs::hard_link(&first, tree.join("linked-again")).unwrap();
    std::os::unix::fs::symlink("linked", tree.join("symlink")).unwrap();
    let path = directory.path().join("image");
    for arguments in [
        &["-b", "4096"][..],
        &["-b", "4096", "-no-exports", "-comp", "zstd"],
        &["-noI", "-noD", "-noF", "-noX", "-no-fragments"],
        &["-comp", "lz4", "-always-use-fragments"],
    ] {
        let mut command = Command::new("mksquashfs");
        command.args([&tree, &path]).args(arguments);
        command.args(["-noappend", "-quiet", "-no-progress"]);
        assert!(command.status().unwrap().success());
        let mut file = File::open(&path).unwrap();
        let size = file.metadata().unwrap().len();
        let image = Image {
            offset: 0,
            size,
            squashfs_size: size,
            verity: None,
        };
        let entries = list(&file, &image).unwrap();
        assert_eq!(entries.len(), 2505, "{arguments:?}");
        let links = entries.iter().filter_map(|entry| entry.link.as_deref());
        let links: Vec<_> = links.collect();
        assert_eq!(links, [Path::new("/linked"); 2], "{arguments:?}");
        let mut theirs = unsquashfs(&mut file);
        theirs.sort();
        let mut ours = sizes(entries);
        ours.sort();
        assert_eq!(ours, theirs, "{arguments:?}");
    }
}
