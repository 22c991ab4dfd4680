//! What reading takes: memory and work are bounded, whatever a header claims.

use std::fs;

use northstar_fuzz::forge::{self, Contents, Image, Layout};
use northstar_fuzz::keys::{PUBLIC, SECRET};
use northstar_fuzz::{memory, scratch};
use northstar_npk::archive::{Archive, ArchiveError};
use northstar_npk::signature::Hashes;
use northstar_npk::{Package, limits};

use crate::{COMMENT, MANIFEST, archive, headers, read, turn};

/// Most memory in bytes that reading any archive may take: the limits of the small parts and one
/// block, and the frame as it is found and as it has to be, with its padding in three places.
pub const READING: usize = limits::MANIFEST
    + limits::SIGNATURE
    + 4 * limits::COMMENT
    + limits::BLOCK
    + 2 * (4 * limits::BLOCK + 512);

/// Sizes in headers are believed only up to the limits: nothing is allocated on their word.
#[test]
fn sizes_are_checked_before_allocation() {
    let _turn = turn();
    for signature in [None, Some(&[b'x'; 300][..])] {
        let original = archive(Layout::Current, signature);
        let at = headers(&original);
        let entries = at.len() / 2;
        for entry in 0..entries {
            for size in [0, 0x1_0001, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff_u32] {
                let mut changed = original.clone();
                for field in [18, 22] {
                    for place in [at[entry], at[entries + entry] + 2] {
                        let place = place + field;
                        changed[place..place + 4].copy_from_slice(&size.to_le_bytes());
                    }
                }
                let (result, taken) = memory::measured(|| read(&changed));
                assert!(
                    matches!(
                        result,
                        Err(ArchiveError::EntrySize { .. }
                            | ArchiveError::TooLarge { .. }
                            | ArchiveError::Directory { .. })
                    ),
                    "{entry} {size}: {result:?}"
                );
                assert!(
                    taken <= 2 * READING + changed.len(),
                    "{entry} {size}: {taken} bytes"
                );
            }
        }
        for (offset, value) in [(12, u32::MAX), (16, u32::MAX), (16, 0), (12, 0)] {
            let mut changed = original.clone();
            let place = at[at.len() - 1] + offset;
            changed[place..place + 4].copy_from_slice(&value.to_le_bytes());
            let (result, taken) = memory::measured(|| read(&changed));
            assert!(
                matches!(
                    result,
                    Err(ArchiveError::Directory { .. } | ArchiveError::CentralHeader { .. })
                ),
                "{offset} {value}: {result:?}"
            );
            assert!(
                taken <= 2 * READING + changed.len(),
                "{offset} {value}: {taken} bytes"
            );
        }
    }
}

/// What a package at all its limits takes is the bound, and it is taken.
#[test]
fn the_largest_small_parts_fit_the_bound() {
    let _turn = turn();
    let mut manifest = MANIFEST.to_vec();
    manifest.resize(limits::MANIFEST, b'#');
    let comment = [b'#'; limits::COMMENT];
    let image = [0; 4096];
    let (front, end) = forge::archive(&Contents {
        layout: Layout::Current,
        comment: &comment,
        manifest: &manifest,
        signature: Some(&[b'x'; limits::SIGNATURE]),
        image: Image {
            size: 4096,
            crc32: crc32fast::hash(&image),
        },
    });
    let bytes = [front.as_slice(), &image, &end].concat();
    scratch::with_file(bytes.len() as u64, &[(0, &bytes)], |file| {
        let (archive, taken) = memory::measured(|| Archive::read(file));
        assert_eq!(archive.unwrap().manifest, manifest);
        assert!(taken >= limits::MANIFEST + limits::SIGNATURE, "{taken}");
        assert!(taken <= READING, "{taken}");
    });
}

/// A signed package with `data_blocks` blocks of zeros, of which only the top of the tree is right.
/// It opens, because opening reads no more.
fn hollow(data_blocks: u64) -> (Vec<u8>, Vec<u8>, Vec<u8>, u64) {
    let mut tree_blocks = 0;
    let mut level = data_blocks;
    while level > 1 {
        level = level.div_ceil(128);
        tree_blocks += level;
    }
    let superblock = forge::superblock(data_blocks, b"");
    let hashes = Hashes {
        meta: forge::sha256(COMMENT),
        manifest: forge::sha256(MANIFEST),
        verity_root: forge::sha256(&[0; 4096]),
        verity_offset: data_blocks * 4096,
    };
    let size = (data_blocks + 1 + tree_blocks) * 4096;
    let (front, end) = forge::archive(&Contents {
        layout: Layout::Current,
        comment: COMMENT,
        manifest: MANIFEST,
        signature: Some(&hashes.sign(&SECRET)),
        image: Image {
            size: size as u32,
            crc32: 0,
        },
    });
    (front, superblock, end, size)
}

/// What this thread has read so far in bytes and in calls (proc_pid_io(5)).
fn reads() -> (u64, u64) {
    let text = fs::read_to_string("/proc/thread-self/io").unwrap();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    };
    (field("rchar:"), field("syscr:"))
}

#[test]
fn opening_is_the_same_work_for_every_size_of_the_image() {
    let _turn = turn();
    let mut works = Vec::new();
    // 8 KiB to 3 GiB; the files are sparse.
    for data_blocks in [2, 129, 16_385, 262_144, 786_432] {
        let (front, superblock, end, size) = hollow(data_blocks);
        let start = front.len() as u64;
        let pieces = [
            (0, front.as_slice()),
            (start + data_blocks * 4096, &superblock),
            (start + size, &end),
        ];
        let work = scratch::with_file(start + size + end.len() as u64, &pieces, |file| {
            let empty = reads();
            let before = reads();
            let (package, taken) = memory::measured(|| Package::open(file, Some(&PUBLIC)));
            let after = reads();
            assert_eq!(package.unwrap().image().squashfs_size, data_blocks * 4096);
            // Reading the counters is reading too.
            let counters = (before.0 - empty.0, before.1 - empty.1);
            let read = (after.0 - before.0).saturating_sub(counters.0);
            let calls = (after.1 - before.1).saturating_sub(counters.1);
            (read, calls, taken)
        });
        works.push(work);
    }
    let (read, calls, taken) = works[0];
    for (index, work) in works.iter().enumerate() {
        // Numbers have more digits in larger packages, here and in the counters.
        assert!(work.0.abs_diff(read) <= 32, "{index}: {works:?}");
        assert_eq!(work.1, calls, "{works:?}");
        assert!(work.2.abs_diff(taken) <= 4096, "{index}: {works:?}");
    }
    assert!(read < 32 * 1024 && calls <= 16, "{works:?}");
}
