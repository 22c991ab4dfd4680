//! Superblock and hash tree, under hashes that nobody vouches for.
//!
//! The input is a recipe: salt length, number of data blocks, where the document says that the
//! superblock is, whether the root hash is made to fit, then changes: an offset from the start of the
//! superblock (2 bytes, signed), a count and so many bytes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use northstar_npk::Package;
use northstar_npk::signature::Hashes;
use northstar_npk::verity::{ArrivingImage, verify_image};

use super::{Target, leave};
use crate::forge::{self, BLOCK, Contents, Image, Layout};
use crate::memory;
use crate::recipe::Recipe;
use crate::scratch;

/// Superblock and hash tree of one level at most.
pub static TARGET: Target = Target {
    name: "tree",
    run,
    repair: leave,
    seeds,
    words: WORDS,
    limit: 256,
};

/// Superblock and hash tree of one or two levels, which takes 40 times as long.
pub static DEEP: Target = Target {
    name: "tree-deep",
    run: run_deep,
    repair: leave,
    seeds,
    words: WORDS,
    limit: 256,
};

const WORDS: &[&[u8]] = &[
    b"verity\0\0",
    b"sha256",
    b"sha512",
    b"\0\x10\0\0",
    b"\0\x02\0\0",
    b"\x01\x01",
    b"\xff\xff",
    b"\x50\0\x02",
    b"\0\x10\x20",
];

/// Most memory in bytes: the buffer of one tree block's children, of that block, and their hashes.
const LIMIT: usize = 1024 * 1024;

/// In how many bytes an image arrives, which is no number of blocks.
const PIECE: usize = 5000;

const MANIFEST: &[u8] = b"name: a\nversion: 0.0.1\nuid: 1\ngid: 1\n";

/// Where the image begins in the file: what is in front takes less than a block.
const START: u64 = BLOCK as u64;

/// A file with an image that is as it has to be.
struct Original {
    file: File,
    image: Vec<u8>,
    blocks: usize,
    root: [u8; 32],
}

thread_local! {
    /// One for each salt length and number of blocks: hashing takes most of the time.
    static ORIGINALS: RefCell<BTreeMap<(u8, usize), Original>> = const { RefCell::new(BTreeMap::new()) };
}

impl Original {
    fn new(salt_size: u8, blocks: usize) -> Original {
        let salt = match salt_size {
            // The one that is expected while an image arrives.
            32 => forge::expected_salt(MANIFEST, blocks as u64),
            _ => vec![0x3c; salt_size.into()],
        };
        let data = vec![0xa5; blocks * BLOCK];
        let (root, tree) = forge::hash_tree(&data, &salt);
        let image = [data, forge::superblock(blocks as u64, &salt), tree].concat();
        let file = scratch::file();
        file.write_all_at(&image, START).expect("a write to memory");
        Original {
            file,
            image,
            blocks,
            root,
        }
    }
}

fn run(input: &[u8]) {
    let mut recipe = Recipe::new(input);
    let salt = recipe.byte();
    let blocks = usize::from(recipe.byte() % 3) + 1;
    with_original(salt, blocks, recipe);
}

fn run_deep(input: &[u8]) {
    let mut recipe = Recipe::new(input);
    let salt = recipe.byte();
    let blocks = 127 + usize::from(recipe.byte() % 4);
    with_original(salt, blocks, recipe);
}

fn with_original(salt: u8, blocks: usize, recipe: Recipe<'_>) {
    ORIGINALS.with_borrow_mut(|originals| {
        let original = originals
            .entry((salt, blocks))
            .or_insert_with(|| Original::new(salt, blocks));
        change(original, recipe);
    });
}

/// Makes the changes, opens what comes out, and takes them back.
fn change(original: &Original, mut recipe: Recipe<'_>) {
    let blocks = original.blocks;
    let shift = i64::from(recipe.byte().cast_signed());
    let is_fitted = recipe.byte() & 1 == 1;
    let stated = (blocks as i64 + shift).max(0) as usize * BLOCK;
    let superblock = blocks * BLOCK;
    let uuid = superblock + 16..superblock + 32;

    let mut image = original.image.clone();
    let mut is_changed = stated != superblock;
    let mut edits = Vec::new();
    while !recipe.is_empty() {
        let at = superblock as i64 + i64::from(recipe.short().cast_signed());
        let count = recipe.byte();
        let new = recipe.bytes(count.into());
        let Some(old) = usize::try_from(at).ok().and_then(|at| image.get_mut(at..)) else {
            continue;
        };
        let at = at as usize;
        let count = new.len().min(old.len());
        old[..count].copy_from_slice(&new[..count]);
        edits.push(at..at + count);
    }
    let mut edited = edits.iter().cloned().flatten();
    is_changed |= edited.any(|at| !uuid.contains(&at) && image[at] != original.image[at]);
    let root = match is_fitted {
        true => fitting(&image, stated).unwrap_or(original.root),
        false => original.root,
    };

    for edit in &edits {
        write(original, &image, edit);
    }
    let is_accepted = accepted(original, &image, stated as u64, root);
    for edit in &edits {
        write(original, &original.image, edit);
    }
    let is_authentic = match is_changed {
        false => true,
        // Without a root made to fit, something differs from what it stands for.
        true if root == original.root && !is_accepted => false,
        true => forge::is_authentic(&image, stated, &root),
    };
    assert_eq!(is_accepted, is_authentic);
}

fn write(original: &Original, image: &[u8], range: &Range<usize>) {
    let written = original
        .file
        .write_all_at(&image[range.clone()], START + range.start as u64);
    written.expect("a write to memory");
}

/// The hash of the block that the root hash is compared with, and the salt that the image names.
fn fitting(image: &[u8], offset: usize) -> Option<[u8; 32]> {
    let head = image.get(offset..offset + BLOCK)?;
    let size = usize::from(u16::from_le_bytes([head[80], head[81]]));
    let salt = head.get(88..88 + size)?;
    let block = match offset / BLOCK {
        1 => image.get(..BLOCK)?,
        _ => image.get(offset + BLOCK..offset + 2 * BLOCK)?,
    };
    Some(forge::sha256(&[salt, block].concat()))
}

/// Whether the code under test accepts the image that is in the file now, read from there as well as while it arrives.
fn accepted(original: &Original, image: &[u8], offset: u64, root: [u8; 32]) -> bool {
    let hashes = Hashes {
        meta: [0; 32],
        manifest: [0; 32],
        verity_root: root,
        verity_offset: offset,
    };
    // Signed by nobody: without a key, the signature is not looked at.
    let mut signature = hashes.to_document();
    signature.push_str("---\nsignature: ");
    signature.push_str(&"A".repeat(86));
    signature.push_str("==");
    let (front, end) = forge::archive(&Contents {
        layout: Layout::Current,
        comment: b"version: 0.9.2\n",
        manifest: MANIFEST,
        signature: Some(signature.as_bytes()),
        image: Image {
            size: original.image.len() as u32,
            crc32: 0,
        },
    });
    assert_eq!(front.len() as u64, START);
    let file = &original.file;
    let after = START + original.image.len() as u64;
    file.write_all_at(&front, 0).expect("a write to memory");
    file.write_all_at(&end, after).expect("a write to memory");
    file.set_len(after + end.len() as u64)
        .expect("a file of this size");
    memory::bounded(LIMIT, || {
        let Ok(package) = Package::open(file, None) else {
            return false;
        };
        let read = verify_image(file, package.image());
        let mut arriving = ArrivingImage::new(MANIFEST, START, offset / BLOCK as u64);
        let mut position = START;
        for piece in image.chunks(PIECE) {
            arriving.update(position, piece);
            position += piece.len() as u64;
        }
        let arrived = arriving.verify(file, package.image());
        assert_eq!(format!("{arrived:?}"), format!("{read:?}"));
        read.is_ok()
    })
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for salt in [0, 32, 255] {
        for blocks in [0, 1, 2, 3] {
            for fitted in [0, 1] {
                seeds.push(vec![salt, blocks, 0, fitted]);
                // The salt size, and the count of data blocks.
                seeds.push(vec![salt, blocks, 0, fitted, 80, 0, 2, 1, 1]);
                seeds.push(vec![salt, blocks, 0xff, fitted, 72, 0, 1, 1]);
            }
        }
    }
    seeds
}
