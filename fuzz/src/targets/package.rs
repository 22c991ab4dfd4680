//! Opening a package with a key: everything behind a valid signature, and each way around it.
//!
//! The input is a recipe: what is tampered with after it was signed (2 bytes), salt length, number
//! of data blocks, comment and manifest with their lengths, then the data.

use northstar_manifest::Manifest;
use northstar_npk::signature::Hashes;
use northstar_npk::verity::verify_image;
use northstar_npk::{OpenError, Package};

use super::{Target, leave};
use crate::forge::{self, BLOCK, Contents, Image, Layout, sha256};
use crate::keys::{PUBLIC, SECRET};
use crate::memory;
use crate::recipe::Recipe;
use crate::scratch;

/// Opening a package with a key.
pub static TARGET: Target = Target {
    name: "package",
    run,
    repair: leave,
    seeds,
    words: &[
        b"version: 0.9.2\n",
        b"version: 0.10.0-a+b\n",
        b"version: 1.0.0\n",
        b"uid: 1\n",
    ],
    limit: 512,
};

/// Reading the archive, and the manifest in it.
const LIMIT: usize = 1024 * 1024 + super::manifest::LIMIT;

/// What is tampered with after it was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tampering {
    None,
    Comment,
    Manifest,
    Signature,
    /// A byte of the superblock, at this offset.
    Superblock(usize),
    Data,
    Tree,
    Unsigned,
    LongImage,
}

impl Tampering {
    fn of(kind: u8, detail: u8) -> Tampering {
        match kind {
            1 => Tampering::Comment,
            2 => Tampering::Manifest,
            3 => Tampering::Signature,
            // Both halves of what is not constant, and some of the rest.
            4 => Tampering::Superblock(usize::from(detail)),
            5 => Tampering::Superblock(usize::from(detail) * 16),
            6 => Tampering::Data,
            7 => Tampering::Tree,
            8 => Tampering::Unsigned,
            9 => Tampering::LongImage,
            _ => Tampering::None,
        }
    }
}

fn run(input: &[u8]) {
    let mut recipe = Recipe::new(input);
    let tampering = Tampering::of(recipe.byte(), recipe.byte());
    let layout = match recipe.byte() {
        0..128 => Layout::Current,
        _ => Layout::Legacy,
    };
    let salt = vec![0xc3; usize::from(recipe.byte())];
    let blocks = usize::from(recipe.byte() % 3) + 1;
    let comment = recipe.byte();
    let mut comment = recipe.bytes(comment.into()).to_vec();
    let manifest = recipe.short();
    let mut manifest = recipe.bytes(manifest.into()).to_vec();
    if manifest.is_empty() {
        manifest.push(b' ');
    }
    let mut data = recipe.rest().to_vec();
    data.resize(blocks * BLOCK, 0);

    let (root, tree) = forge::hash_tree(&data, &salt);
    let hashes = Hashes {
        meta: sha256(&comment),
        manifest: sha256(&manifest),
        verity_root: root,
        verity_offset: data.len() as u64,
    };
    let mut signature = hashes.sign(&SECRET);
    let is_valid = super::version(&comment) && Manifest::from_yaml(&manifest).is_ok();
    let mut image = [data, forge::superblock(blocks as u64, &salt), tree].concat();
    match tampering {
        Tampering::Comment => comment.push(b'\n'),
        Tampering::Manifest => manifest.push(b'\n'),
        Tampering::Signature => signature[20] ^= 1,
        Tampering::Superblock(at) => image[blocks * BLOCK + at] ^= 1,
        Tampering::Data => image[0] ^= 1,
        Tampering::Tree => *image.last_mut().expect("a byte") ^= 1,
        Tampering::LongImage => image.extend([0; BLOCK]),
        Tampering::Unsigned | Tampering::None => {}
    }
    let (front, end) = forge::archive(&Contents {
        layout,
        comment: &comment,
        manifest: &manifest,
        signature: (tampering != Tampering::Unsigned).then_some(&signature),
        image: Image {
            size: image.len() as u32,
            crc32: crc32fast::hash(&image),
        },
    });
    let offsets = [0, front.len(), front.len() + image.len()].map(|offset| offset as u64);
    let size = offsets[2] + end.len() as u64;
    let pieces = [
        (offsets[0], &front[..]),
        (offsets[1], &image),
        (offsets[2], &end),
    ];
    scratch::with_file(size, &pieces, |file| {
        let opened = memory::bounded(LIMIT, || Package::open(file, Some(&PUBLIC)));
        let verified = opened
            .as_ref()
            .is_ok_and(|package| verify_image(file, package.image()).is_ok());
        judge(tampering, blocks, is_valid, &opened, verified);
    });
}

/// Compares what happened with what has to happen.
fn judge(
    tampering: Tampering,
    blocks: usize,
    is_valid: bool,
    opened: &Result<Package, OpenError>,
    verified: bool,
) {
    let is_ok = match tampering {
        // The uuid is never read.
        Tampering::Superblock(16..32) | Tampering::None => is_valid && verified,
        // Opening reads one block of the tree, or the one block there is.
        Tampering::Data => is_valid && blocks > 1 && !verified,
        // Without a tree the last byte is one of the superblock.
        Tampering::Tree | Tampering::Superblock(_) | Tampering::LongImage => false,
        Tampering::Comment | Tampering::Manifest | Tampering::Signature => false,
        Tampering::Unsigned => {
            assert!(matches!(
                opened,
                Err(OpenError::Unsigned | OpenError::Version(_))
            ));
            false
        }
    };
    assert_eq!(opened.is_ok(), is_ok, "{tampering:?} {blocks} {opened:?}");
}

fn seeds() -> Vec<Vec<u8>> {
    let comment = b"version: 0.9.2\n";
    let manifest = b"name: a\nversion: 0.0.1\nuid: 1\ngid: 1\n";
    let mut seeds = Vec::new();
    for kind in 0..10 {
        for blocks in 0..3 {
            let mut seed = vec![kind, blocks * 37, kind * 20, blocks * 32, blocks];
            seed.push(comment.len() as u8);
            seed.extend(comment);
            seed.extend((manifest.len() as u16).to_le_bytes());
            seed.extend(manifest);
            seed.extend(b"hsqs");
            seeds.push(seed);
        }
    }
    seeds
}
