//! Making packages by the letter of the format, without the code that reads and writes them.
//!
//! What this writes and what `northstar-npk` accepts have to be the same; each is the other's test.

use sha2::{Digest, Sha256};

/// Block size of image and tree in bytes.
pub const BLOCK: usize = 4096;

/// The forms of headers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// 0.9.2.
    Current,
    /// 0.9.1.
    Legacy,
}

/// What an archive says about its image without the bytes of it.
#[derive(Debug, Clone, Copy)]
pub struct Image {
    /// Size in bytes.
    pub size: u32,
    /// The stated checksum.
    pub crc32: u32,
}

/// The small contents of an archive.
#[derive(Debug, Clone)]
pub struct Contents<'a> {
    /// The form of the headers.
    pub layout: Layout,
    /// The archive comment.
    pub comment: &'a [u8],
    /// `manifest.yaml`.
    pub manifest: &'a [u8],
    /// `signature.yaml`.
    pub signature: Option<&'a [u8]>,
    /// `fs.img`.
    pub image: Image,
}

/// Everything in front of the image, and everything after it.
pub fn archive(contents: &Contents<'_>) -> (Vec<u8>, Vec<u8>) {
    let Contents { layout, image, .. } = *contents;
    let mut front = Vec::new();
    let mut directory = Vec::new();
    let mut count = 0_u16;
    let small = [
        ("manifest.yaml", Some(contents.manifest)),
        ("signature.yaml", contents.signature),
    ];
    for (name, content) in small {
        if let Some(content) = content {
            let header = header(
                layout,
                name,
                content.len() as u32,
                crc32fast::hash(content),
                0,
            );
            central(&mut directory, layout, &header, front.len(), name, &[]);
            front.extend(b"PK\x03\x04");
            front.extend(header);
            front.extend(name.as_bytes());
            front.extend(content);
            count += 1;
        }
    }
    let name = "fs.img";
    let extra = padding(layout, front.len() + 30 + name.len());
    let local = header(layout, name, image.size, image.crc32, extra.len() as u16);
    let in_directory: &[u8] = match layout {
        Layout::Current => &extra,
        Layout::Legacy => &[],
    };
    let listed = header(
        layout,
        name,
        image.size,
        image.crc32,
        in_directory.len() as u16,
    );
    central(
        &mut directory,
        layout,
        &listed,
        front.len(),
        name,
        in_directory,
    );
    front.extend(b"PK\x03\x04");
    front.extend(local);
    front.extend(name.as_bytes());
    front.extend(&extra);

    let offset = front.len() as u32 + image.size;
    let size = directory.len() as u32;
    directory.extend(b"PK\x05\x06\0\0\0\0");
    directory.extend((count + 1).to_le_bytes());
    directory.extend((count + 1).to_le_bytes());
    directory.extend(size.to_le_bytes());
    directory.extend(offset.to_le_bytes());
    directory.extend((contents.comment.len() as u16).to_le_bytes());
    directory.extend(contents.comment);
    (front, directory)
}

/// What local and central headers have in common, without the signature.
fn header(layout: Layout, name: &str, size: u32, crc32: u32, extra: u16) -> Vec<u8> {
    let needed: u16 = match layout {
        Layout::Current => 10,
        Layout::Legacy => 20,
    };
    let mut header = needed.to_le_bytes().to_vec();
    // No flags, stored, time 0, and the first day of DOS.
    header.extend([0, 0, 0, 0, 0, 0, 0x21, 0]);
    header.extend(crc32.to_le_bytes());
    header.extend(size.to_le_bytes());
    header.extend(size.to_le_bytes());
    header.extend((name.len() as u16).to_le_bytes());
    header.extend(extra.to_le_bytes());
    header
}

fn central(
    directory: &mut Vec<u8>,
    layout: Layout,
    header: &[u8],
    offset: usize,
    name: &str,
    extra: &[u8],
) {
    directory.extend(b"PK\x01\x02");
    directory.extend(match layout {
        Layout::Current => [0x0a, 0x03],
        Layout::Legacy => [0x2e, 0x03],
    });
    directory.extend(header);
    directory.extend([0; 6]); // comment, disk, internal attributes
    directory.extend([0, 0, 0xa4, 0x81]);
    directory.extend((offset as u32).to_le_bytes());
    directory.extend(name.as_bytes());
    directory.extend(extra);
}

/// The extra field that makes the next byte after `end` and itself begin a block.
fn padding(layout: Layout, end: usize) -> Vec<u8> {
    let mut missing = (BLOCK - end % BLOCK) % BLOCK;
    let (id, shortest) = match layout {
        Layout::Current => ([0x1e, 0xa1], 6),
        Layout::Legacy => ([0x7a, 0x61], 4),
    };
    if missing == 0 {
        return Vec::new();
    }
    if missing < shortest {
        missing += BLOCK;
    }
    let mut extra = id.to_vec();
    extra.extend((missing as u16 - 4).to_le_bytes());
    if layout == Layout::Current {
        extra.extend([0x00, 0x10]);
    }
    extra.resize(missing, 0);
    extra
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn salted(salt: &[u8], block: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix(salt)
        .chain_update(block)
        .finalize()
        .into()
}

/// A verity superblock.
pub fn superblock(data_blocks: u64, salt: &[u8]) -> Vec<u8> {
    let mut block = b"verity\0\0\x01\0\0\0\x01\0\0\0".to_vec();
    block.extend([0x5a; 16]);
    block.extend(b"sha256");
    block.resize(64, 0);
    block.extend([0, 0x10, 0, 0, 0, 0x10, 0, 0]);
    block.extend(data_blocks.to_le_bytes());
    block.extend((salt.len() as u16).to_le_bytes());
    block.extend([0; 6]);
    block.extend(salt);
    block.resize(BLOCK, 0);
    block
}

/// The salt that follows from a manifest, for images of that many blocks.
pub fn expected_salt(manifest: &[u8], data_blocks: u64) -> Vec<u8> {
    let from = [
        b"northstar verity salt".as_slice(),
        &data_blocks.to_le_bytes(),
        manifest,
    ];
    sha256(&from.concat()).to_vec()
}

/// Root hash and tree of `data`, which is whole blocks; the level of one block first.
pub fn hash_tree(data: &[u8], salt: &[u8]) -> ([u8; 32], Vec<u8>) {
    let mut hashes: Vec<[u8; 32]> = data
        .chunks(BLOCK)
        .map(|block| salted(salt, block))
        .collect();
    let mut tree = Vec::new();
    while hashes.len() > 1 {
        let mut level = Vec::new();
        for hashes in hashes.chunks(BLOCK / 32) {
            level.extend(hashes.concat());
            level.resize(level.len().next_multiple_of(BLOCK), 0);
        }
        hashes = level
            .chunks(BLOCK)
            .map(|block| salted(salt, block))
            .collect();
        tree.splice(0..0, level);
    }
    (hashes[0], tree)
}

/// Whether `image` is data, superblock and tree of one salt under `root`, with the superblock at `offset`.
pub fn is_authentic(image: &[u8], offset: usize, root: &[u8; 32]) -> bool {
    let Some((data, rest)) = image.split_at_checked(offset) else {
        return false;
    };
    let Some((head, tree)) = rest.split_at_checked(BLOCK) else {
        return false;
    };
    let salt_size = usize::from(u16::from_le_bytes([head[80], head[81]]));
    if data.is_empty() || !data.len().is_multiple_of(BLOCK) || salt_size > 256 {
        return false;
    }
    let salt = &head[88..88 + salt_size];
    let mut expected = superblock((data.len() / BLOCK) as u64, salt);
    expected[16..32].copy_from_slice(&head[16..32]);
    expected == head && hash_tree(data, salt) == (*root, tree.to_vec())
}
