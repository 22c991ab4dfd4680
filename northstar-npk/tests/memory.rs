//! How much memory packages may take that were made to use it up.

#![cfg(test)]

use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use northstar_manifest::Manifest;
use northstar_npk::key::SecretKey;
use northstar_npk::limits::MANIFEST;
use northstar_npk::pack::{PackOptions, pack};
use northstar_npk::squashfs::{SquashfsError, list};
use northstar_npk::{Image, OpenError, StreamVerifier};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Memory is counted for the whole process, so one test runs at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Runs `work` and returns with its result how many bytes more than at its start the process held at most.
fn measured<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = work();
    (result, ALLOCATOR.peak_usage().saturating_sub(before))
}

const MIB: usize = 1024 * 1024;
/// What an image may take, as `docs/packages.md` says.
const LIMIT: usize = 1024 * MIB;

/// The tables of an image, in blocks that may be compressed with zstd.
struct Tables {
    inodes: u32,
    root: u64,
    inode_table: Vec<u8>,
    directory_table: Vec<u8>,
}

impl Tables {
    fn image(&self) -> (File, Image) {
        let id = stored(&[0; 4]);
        let directory_table = 96 + self.inode_table.len() as u64;
        let ids = directory_table + self.directory_table.len() as u64;
        let pointers = ids + id.len() as u64;
        let mut bytes = Vec::new();
        for field in [0x7371_7368, self.inodes, 0, 4096, 0] {
            bytes.extend(u32::to_le_bytes(field));
        }
        // zstd, logarithm of the block size, flags, ids, version.
        for field in [6, 12, 0x210, 1, 4, 0] {
            bytes.extend(u16::to_le_bytes(field));
        }
        let none = u64::MAX;
        for field in [
            self.root,
            pointers + 8,
            pointers,
            none,
            96,
            directory_table,
            none,
            none,
        ] {
            bytes.extend(u64::to_le_bytes(field));
        }
        bytes.extend(&self.inode_table);
        bytes.extend(&self.directory_table);
        bytes.extend(id);
        bytes.extend(ids.to_le_bytes());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let size = bytes.len() as u64;
        let image = Image {
            offset: 0,
            size,
            squashfs_size: size,
            verity: None,
        };
        (file, image)
    }
}

/// Metadata in blocks that are stored as they are.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let block = |block: &[u8]| [&(block.len() as u16 | 0x8000).to_le_bytes(), block].concat();
    bytes.chunks(8192).flat_map(block).collect()
}

/// Metadata blocks of zeros, in 13 bytes each.
fn zeros(blocks: usize, size: u32) -> Vec<u8> {
    // A frame of zstd (RFC 8878): a segment of 8 KiB, and one run of a byte.
    let mut frame = b"\x28\xb5\x2f\xfd\x60\x00\x1f".to_vec();
    let run = size << 3 | 1 << 1 | 1;
    frame.extend(&run.to_le_bytes()[..3]);
    frame.push(0);
    let block = [(frame.len() as u16).to_le_bytes().as_slice(), &frame].concat();
    block.repeat(blocks)
}

fn refused(tables: &Tables, limit: usize) -> SquashfsError {
    let (file, image) = tables.image();
    let (error, taken) = measured(|| list(&file, &image).unwrap_err());
    assert!(taken <= limit, "{taken} bytes");
    error
}

#[test]
fn tables_that_decompress_to_more_than_the_limit_are_refused_at_once() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // 1.3 MB for 820 MB.
    let bomb = zeros(100_000, 8192);
    assert!(bomb.len() < 1_400_000);
    for (inode_table, directory_table) in [
        (bomb.clone(), Vec::new()),
        (zeros(1, 8192), bomb.clone()),
        (bomb.clone(), bomb),
    ] {
        let tables = Tables {
            inodes: 1,
            root: 0,
            inode_table,
            directory_table,
        };
        let error = refused(&tables, 8 * MIB);
        assert!(matches!(error, SquashfsError::Listing { .. }), "{error:?}");
    }
}

#[test]
fn blocks_of_tables_are_not_larger_than_blocks_of_tables_are() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let tables = Tables {
        inodes: 1,
        root: 0,
        inode_table: zeros(1000, 128 * 1024),
        directory_table: Vec::new(),
    };
    let error = refused(&tables, 16 * MIB);
    assert!(matches!(error, SquashfsError::Read(_)), "{error:?}");
}

/// A directory of so many pipes, the smallest inodes there are.
fn pipes(count: u32) -> Tables {
    let inode = |kind: u16, number: u32| {
        let mut bytes = Vec::new();
        for field in [kind, 0o644, 0, 0, 0, 0] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(number.to_le_bytes());
        bytes
    };
    let mut inodes = Vec::new();
    let mut directory = Vec::new();
    for first in (1..=count).step_by(256) {
        // The inodes of a run begin in one block, if there are few enough of them.
        let mut numbers = first..=count.min(first + 255);
        while !numbers.is_empty() {
            let block = inodes.len() / 8192;
            let room = (8192 - inodes.len() % 8192).div_ceil(20);
            let run: Vec<u32> = numbers.by_ref().take(room).collect();
            directory.extend((run.len() as u32 - 1).to_le_bytes());
            directory.extend((block as u32 * 8194).to_le_bytes());
            directory.extend(run[0].to_le_bytes());
            for (delta, number) in (0_u16..).zip(run) {
                directory.extend(((inodes.len() % 8192) as u16).to_le_bytes());
                directory.extend(delta.to_le_bytes());
                directory.extend(6_u16.to_le_bytes());
                directory.extend(5_u16.to_le_bytes());
                directory.extend(format!("{number:06x}").as_bytes());
                inodes.extend(inode(6, number));
                inodes.extend(1_u32.to_le_bytes());
            }
        }
    }
    let root = inodes.len();
    inodes.extend(inode(8, count + 1));
    for field in [2, directory.len() as u32 + 3, 0, 0, 0, u32::MAX] {
        inodes.extend(field.to_le_bytes());
    }
    Tables {
        inodes: count + 1,
        root: ((root / 8192 * 8194) as u64) << 16 | (root % 8192) as u64,
        inode_table: stored(&inodes),
        directory_table: stored(&directory),
    }
}

/// What is counted against the limit is at least what is taken.
#[test]
fn the_memory_of_a_list_is_what_is_counted_for_it() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // As many as the limit lets pass, in steps.
    let mut accepted = 0;
    for count in [100_000, 400_000, 800_000, 1_200_000, 1_600_000] {
        let (file, image) = pipes(count).image();
        let (listed, taken) = measured(|| list(&file, &image).map(|list| list.len()));
        assert!(taken <= LIMIT, "{count}: {taken}");
        match listed {
            Ok(found) => {
                assert_eq!(found, count as usize + 1);
                accepted = count;
            }
            Err(SquashfsError::Listing { .. }) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    // A million files, which is what may be unpacked by default, and not many more.
    assert_eq!(accepted, 1_200_000);
}

const KIB: usize = 1024;

/// A package whose manifest is as long as manifests may be, and its key.
fn long_manifest() -> (Vec<u8>, SecretKey) {
    let text = "x".repeat(MANIFEST - 200);
    let yaml = format!("name: a\nversion: 0.0.1\nuid: 1\ngid: 1\ncustom: {{text: {text}}}\n");
    let manifest = Manifest::from_yaml(yaml.as_bytes()).unwrap();
    let key = SecretKey::generate().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let options = PackOptions {
        key: Some(&key),
        ..PackOptions::new(&manifest)
    };
    let packed = pack(&options, directory.path()).unwrap();
    (std::fs::read(packed.path).unwrap(), key)
}

/// In pieces of any size, the small parts are held once, and not longer than they are needed.
#[test]
fn a_stream_holds_the_small_parts_once() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (bytes, key) = long_manifest();
    let image = bytes.windows(4).position(|four| four == b"hsqs").unwrap();
    assert!((MANIFEST - KIB..MANIFEST + 8 * KIB).contains(&image));
    for piece in [7, 1000, 100_000] {
        let mut stream = StreamVerifier::new(Some(key.public()));
        let (head, rest) = bytes.split_at(image + 1);
        let ((), taken) = measured(|| {
            head.chunks(piece)
                .for_each(|piece| stream.update(piece).unwrap());
        });
        assert!(taken < MANIFEST + 16 * KIB, "{piece}: {taken}");
        let ((), taken) = measured(|| {
            rest.chunks(piece)
                .for_each(|piece| stream.update(piece).unwrap());
        });
        assert!(taken < 16 * KIB, "{piece}: {taken}");
        stream.finish().unwrap();
    }
}

#[test]
fn a_stream_that_goes_on_after_its_end_is_refused_before_it_is_kept() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (bytes, key) = long_manifest();
    let more = vec![0; 4 * MIB];
    let mut stream = StreamVerifier::new(Some(key.public()));
    stream.update(&bytes).unwrap();
    let (error, taken) = measured(|| stream.update(&more).unwrap_err());
    assert!(matches!(error, OpenError::Archive(_)), "{error:?}");
    assert!(taken < 16 * KIB, "{taken}");
}
