//! Listing and unpacking an image, which is the input.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use northstar_npk::squashfs::{self, Entry, EntryKind};
use northstar_npk::unpack::unpack;
use northstar_npk::{Package, archive::Archive};

use super::{Target, leave};
use crate::forge::{self, BLOCK, Contents, Layout};
use crate::keys::fixture;
use crate::memory;
use crate::scratch;

/// Listing and unpacking an image.
pub static TARGET: Target = Target {
    name: "unpack",
    run,
    repair: leave,
    seeds,
    words: &[
        b"hsqs",
        b"..",
        b"../",
        b"/",
        b".",
        b"",
        CANARY.as_bytes(),
        b"\x01\0",
        b"\x02\0",
        b"\x03\0",
        b"\x07\0",
        b"\x08\0",
        b"\x09\0",
        b"\x0a\0",
        b"\xff\xff\xff\xff",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\x80",
        b"\0\0\x02\0",
    ],
    limit: 3 * BLOCK,
};

/// Most memory in bytes that reading a small image takes.
const LIMIT: usize = 64 * 1024 * 1024;

/// A directory that images point to, and that nothing may change.
const CANARY: &str = "/dev/shm/northstar-canary";
/// Its one file.
const CANARY_FILE: &str = "file";
const CANARY_TEXT: &str = "nobody changes this";

/// Files that are sparse are written out, so more than this in bytes is not unpacked here.
const LARGEST: u64 = 256 * 1024;

const MANIFEST: &[u8] = b"name: a\nversion: 0.0.1\nuid: 1\ngid: 1\n";

/// The directory of this process in memory, removed with everything in it before it is made.
static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let canary = Path::new(CANARY);
    fs::create_dir_all(canary).expect("the canary's directory");
    fs::write(canary.join(CANARY_FILE), CANARY_TEXT).expect("the canary");
    let directory = PathBuf::from(format!("/dev/shm/northstar-unpack-{}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).expect("a directory in memory");
    directory
});

/// A package around images of one size, in a file of its own. What is around the image is read once.
struct Around {
    file: File,
    package: Package,
    /// Where the image is in the file.
    image: Range<u64>,
}

thread_local! {
    /// One for each number of blocks.
    static AROUND: RefCell<BTreeMap<usize, Around>> = const { RefCell::new(BTreeMap::new()) };
}

impl Around {
    fn new(blocks: usize) -> Around {
        let size = blocks * BLOCK;
        let (front, end) = forge::archive(&Contents {
            layout: Layout::Current,
            comment: b"version: 0.9.2\n",
            manifest: MANIFEST,
            signature: None,
            image: forge::Image {
                size: size as u32,
                crc32: 0,
            },
        });
        let file = scratch::file();
        let start = front.len() as u64;
        let image = start..start + size as u64;
        for (offset, bytes) in [(0, front), (image.end, end)] {
            file.write_all_at(&bytes, offset)
                .expect("a write to memory");
        }
        let package = Package::open(&file, None).expect("a package around the image");
        Around {
            file,
            package,
            image,
        }
    }

    /// Puts an image into the package that is not longer than it may be, with zeros behind it.
    fn put(&self, image: &[u8]) {
        let mut bytes = image.to_vec();
        bytes.resize((self.image.end - self.image.start) as usize, 0);
        self.file
            .write_all_at(&bytes, self.image.start)
            .expect("a write to memory");
    }
}

fn run(input: &[u8]) {
    let blocks = input.len().div_ceil(BLOCK).max(1);
    AROUND.with_borrow_mut(|around| {
        let around = around.entry(blocks).or_insert_with(|| Around::new(blocks));
        around.put(input);
        list_and_unpack(&around.file, &around.package);
    });
}

fn list_and_unpack(file: &File, package: &Package) {
    let listed = memory::bounded(LIMIT, || squashfs::list(file, package.image()));
    let Ok(entries) = listed else {
        return;
    };
    let total: u64 = entries.iter().map(content).fold(0, u64::saturating_add);
    if total > LARGEST || entries.len() > 64 {
        return;
    }
    let target = DIRECTORY.join("target");
    let unpacked = memory::bounded(LIMIT, || unpack(file, package, &target));
    check(&entries, unpacked.is_ok(), &target);
}

/// Bytes that unpacking an entry writes.
fn content(entry: &Entry) -> u64 {
    match entry.kind {
        EntryKind::File { size } => size,
        _ => 0,
    }
}

/// Checks that what was asked for is there and nothing else, then removes it.
fn check(entries: &[Entry], is_unpacked: bool, target: &Path) {
    let mut left = fs::read_dir(&*DIRECTORY).expect("the directory");
    let first = left.next().map(|entry| entry.expect("an entry").path());
    assert!(left.next().is_none(), "something is left beside the target");
    assert_eq!(first.as_deref(), is_unpacked.then_some(target));
    let canary = fs::read_to_string(Path::new(CANARY).join(CANARY_FILE));
    assert_eq!(canary.expect("the canary"), CANARY_TEXT);
    let count = fs::read_dir(CANARY)
        .expect("the canary's directory")
        .count();
    assert_eq!(count, 1, "something is beside the canary");
    if !is_unpacked {
        return;
    }
    for entry in entries {
        let path = target
            .join("root")
            .join(entry.path.strip_prefix("/").expect("an absolute path"));
        let found = fs::symlink_metadata(&path);
        match (&entry.kind, found) {
            (EntryKind::Directory, Ok(found)) => assert!(found.is_dir()),
            (EntryKind::File { size }, Ok(found)) => {
                assert!(found.is_file());
                assert_eq!(found.len(), *size);
            }
            (EntryKind::Symlink { target }, Ok(_)) => {
                assert_eq!(fs::read_link(&path).expect("a link"), *target);
            }
            (EntryKind::Fifo, Ok(_)) => {}
            (EntryKind::Directory | EntryKind::File { .. } | EntryKind::Symlink { .. }, Err(_))
            | (EntryKind::Fifo, Err(_)) => panic!("{} was not unpacked", path.display()),
            // Devices and sockets are left out; another entry of that name is not.
            _ => {}
        }
    }
    fs::remove_dir_all(target).expect("the target can be removed");
}

fn seeds() -> Vec<Vec<u8>> {
    let read = |name| {
        let bytes = fs::read(fixture(name)).expect("a fixture");
        let file = File::open(fixture(name)).expect("a fixture");
        let archive = Archive::read(&file).expect("an archive");
        let start = archive.image.offset as usize;
        let size = (archive.image.size as usize).min(3 * BLOCK);
        bytes[start..start + size].to_vec()
    };
    ["resource-xz.npk", "resource-zstd.npk", "resource-gzip.npk"]
        .map(read)
        .to_vec()
}
