//! The constraints of the archive reader, one by one.

use std::fs;
use std::os::unix::fs::FileExt;

use northstar_fuzz::forge::{self, Contents, Image, Layout};
use northstar_fuzz::keys::{PUBLIC, SECRET, fixture};
use northstar_fuzz::{memory, scratch};
use northstar_npk::archive::{Archive, ArchiveError, EntryName};
use northstar_npk::key::SecretKey;
use northstar_npk::signature::{Hashes, SignatureError};
use northstar_npk::{OpenError, Package, StreamVerifier, limits};

const COMMENT: &[u8] = b"version: 0.9.2\n";
const MANIFEST: &[u8] = b"name: a\nversion: 0.0.1\nuid: 1\ngid: 1\n";

/// Tests that count memory or reads have the process to themselves: this file runs with one lock.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn turn() -> std::sync::MutexGuard<'static, ()> {
    TURN.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// An archive with an image of one block of zeros.
fn archive(layout: Layout, signature: Option<&[u8]>) -> Vec<u8> {
    let image = [0; 4096];
    let (front, end) = forge::archive(&Contents {
        layout,
        comment: COMMENT,
        manifest: MANIFEST,
        signature,
        image: Image {
            size: 4096,
            crc32: crc32fast::hash(&image),
        },
    });
    [front.as_slice(), &image, &end].concat()
}

fn read(bytes: &[u8]) -> Result<Archive, ArchiveError> {
    let pieces = [(0, bytes)];
    let file = scratch::with_file(bytes.len() as u64, &pieces, Archive::read);
    let mut stream = StreamVerifier::new(None);
    let streamed = stream.update(bytes).and_then(|()| stream.finish());
    assert_eq!(streamed.is_ok(), file.is_ok(), "{streamed:?} {file:?}");
    file
}

/// Where the headers of the entries are: local ones, then central ones, then the end record.
fn headers(bytes: &[u8]) -> Vec<usize> {
    let is_header = |at: &usize| {
        let word = &bytes[*at..*at + 4];
        [b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"]
            .iter()
            .any(|known| *known == word)
    };
    (0..bytes.len() - 4).filter(is_header).collect()
}

/// Fields of a local header: name, offset, size. In a central header they are 2 bytes further.
const FIELDS: [(&str, usize, usize); 9] = [
    ("version needed", 4, 2),
    ("flags", 6, 2),
    ("method", 8, 2),
    ("time", 10, 2),
    ("date", 12, 2),
    ("crc32", 14, 4),
    ("compressed size", 18, 4),
    ("size", 22, 4),
    ("name size", 26, 2),
];

#[test]
fn local_and_central_header_are_equal() {
    let _turn = turn();
    for layout in [Layout::Current, Layout::Legacy] {
        let original = archive(layout, Some(&[b'x'; 300]));
        // Signatures without meaning are the business of what comes after the archive.
        let opened = scratch::with_file(original.len() as u64, &[(0, &original)], Archive::read);
        opened.unwrap();
        let at = headers(&original);
        assert_eq!(at.len(), 7);
        for entry in 0..3 {
            for (name, offset, size) in FIELDS {
                for byte in 0..size {
                    for places in [
                        vec![at[entry]],
                        vec![at[3 + entry] + 2],
                        vec![at[entry], at[3 + entry] + 2],
                    ] {
                        // What is in both says the same, so it is the value itself that has no place.
                        let both = places.len() == 2;
                        let mut changed = original.clone();
                        for place in places {
                            changed[place + offset + byte] ^= 1;
                        }
                        let pieces = [(0, changed.as_slice())];
                        let result = scratch::with_file(changed.len() as u64, &pieces, |file| {
                            let archive = Archive::read(file)?;
                            archive.check_image(file).map(|()| archive)
                        });
                        assert!(
                            matches!(
                                result,
                                Err(ArchiveError::LocalHeader { .. }
                                    | ArchiveError::CentralHeader { .. }
                                    | ArchiveError::Checksum { .. }
                                    | ArchiveError::Directory { .. }
                                    | ArchiveError::DirectoryTruncated { .. }
                                    | ArchiveError::EntryOrder { .. }
                                    | ArchiveError::EntrySize { .. }
                                    | ArchiveError::Read { .. }
                                    | ArchiveError::TooLarge { .. }
                                    | ArchiveError::UnknownLayout { .. })
                            ),
                            "{layout:?} {entry} {name} {byte} {both}: {result:?}"
                        );
                    }
                }
            }
        }
    }
}

/// Flags and methods that other readers give a meaning: encryption, data descriptor, UTF-8, DEFLATE.
#[test]
fn what_zip_has_beyond_stored_entries_is_refused() {
    let _turn = turn();
    let original = archive(Layout::Current, None);
    let at = headers(&original);
    for (offset, value) in [
        (6, 0x0001_u16),
        (6, 0x0008),
        (6, 0x0800),
        (6, 0x2000),
        (8, 8),
        (8, 93),
        (8, 99),
    ] {
        for entry in 0..2 {
            let mut changed = original.clone();
            for place in [at[entry], at[2 + entry] + 2] {
                changed[place + offset..place + offset + 2].copy_from_slice(&value.to_le_bytes());
            }
            assert!(
                matches!(read(&changed), Err(ArchiveError::CentralHeader { .. })),
                "{offset} {value}"
            );
        }
    }
}

#[test]
fn layouts_do_not_mix() {
    let _turn = turn();
    let (a, b) = (
        archive(Layout::Current, None),
        archive(Layout::Legacy, None),
    );
    let (end_a, end_b) = (headers(&a)[2], headers(&b)[2]);
    for (front, end) in [(&a[..end_a], &b[end_b..]), (&b[..end_b], &a[end_a..])] {
        let mixed = [front, end].concat();
        assert!(
            matches!(
                read(&mixed),
                Err(ArchiveError::LocalHeader { .. } | ArchiveError::CentralHeader { .. })
            ),
            "{mixed:02x?}"
        );
    }
}

#[test]
fn duplicate_extra_missing_and_reordered_entries_are_refused() {
    let _turn = turn();
    let bytes = archive(Layout::Current, None);
    let at = headers(&bytes);
    let (manifest, image) = (&bytes[..at[1]], &bytes[at[1]..at[2]]);
    let (central_manifest, central_image) = (&bytes[at[2]..at[3]], &bytes[at[3]..at[4]]);
    type Pieces<'a> = Vec<&'a [u8]>;
    let cases: [(&str, Pieces<'_>, Pieces<'_>); 6] = [
        (
            "manifest twice",
            vec![manifest, manifest, image],
            vec![central_manifest, central_manifest, central_image],
        ),
        (
            "image twice",
            vec![manifest, image, image],
            vec![central_manifest, central_image, central_image],
        ),
        (
            "reordered",
            vec![image, manifest],
            vec![central_image, central_manifest],
        ),
        ("one", vec![manifest], vec![central_manifest]),
        ("none", vec![], vec![]),
        (
            "four",
            vec![manifest, manifest, manifest, image],
            vec![
                central_manifest,
                central_manifest,
                central_manifest,
                central_image,
            ],
        ),
    ];
    for (name, contents, directory) in cases {
        let mut changed = contents.concat();
        let start = changed.len() as u32;
        let count = directory.len() as u16;
        let directory = directory.concat();
        changed.extend(&directory);
        changed.extend(b"PK\x05\x06\0\0\0\0");
        changed.extend(count.to_le_bytes());
        changed.extend(count.to_le_bytes());
        changed.extend((directory.len() as u32).to_le_bytes());
        changed.extend(start.to_le_bytes());
        changed.extend((COMMENT.len() as u16).to_le_bytes());
        changed.extend(COMMENT);
        let result = read(&changed);
        assert!(
            matches!(
                result,
                Err(ArchiveError::EntryCount { .. } | ArchiveError::EntryOrder { .. })
            ),
            "{name}: {result:?}"
        );
    }
}

/// An entry that the directory does not name, which readers by local headers would find.
#[test]
fn hidden_entries_are_refused() {
    let _turn = turn();
    let bytes = archive(Layout::Current, None);
    let at = headers(&bytes);
    let hidden = &bytes[..at[1]];
    let mut changed = [&bytes[..at[1]], hidden, &bytes[at[1]..]].concat();
    let end = changed.len() - COMMENT.len() - 6;
    let start = (at[2] + hidden.len()) as u32;
    changed[end..end + 4].copy_from_slice(&start.to_le_bytes());
    assert!(matches!(
        read(&changed),
        Err(ArchiveError::Directory { .. })
    ));
}

#[test]
fn padding_that_is_not_zero_is_refused_at_its_offset() {
    let _turn = turn();
    for layout in [Layout::Current, Layout::Legacy] {
        let bytes = archive(layout, None);
        let image = bytes.len() - headers(&bytes).len();
        let start = headers(&bytes)[1] + 30 + 6;
        let end = 4096;
        assert!(end < image);
        // Behind id and size, and in the current layout the alignment.
        for at in (start..end).step_by(7).chain([end - 1]) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x80;
            let result = read(&changed);
            assert!(
                matches!(
                    result,
                    Err(ArchiveError::LocalHeader { entry: EntryName::Image, offset }) if offset == at as u64
                ),
                "{layout:?} {at}: {result:?}"
            );
        }
    }
}

/// A gap is a byte that belongs to nothing, wherever it is and whatever offsets say.
#[test]
fn gaps_are_refused() {
    let _turn = turn();
    let bytes = archive(Layout::Current, None);
    let at = headers(&bytes);
    for gap in [at[1], at[2], at[3], at[4], 4096] {
        for count in [1, 4096] {
            let mut changed = bytes.clone();
            changed.splice(gap..gap, vec![0; count]);
            let end = changed.len() - COMMENT.len() - 6;
            for start in [at[2], at[2] + count] {
                changed[end..end + 4].copy_from_slice(&(start as u32).to_le_bytes());
                let result = read(&changed);
                assert!(
                    matches!(
                        result,
                        Err(ArchiveError::Directory { .. }
                            | ArchiveError::DirectoryTruncated { .. }
                            | ArchiveError::CentralHeader { .. }
                            | ArchiveError::LocalHeader { .. }
                            | ArchiveError::EntryOrder { .. })
                    ),
                    "{gap} {count} {start}: {result:?}"
                );
            }
        }
    }
}

/// Most memory in bytes that reading any archive may take: the limits of the small parts and one
/// block, and the frame as it is found and as it has to be, with its padding in three places.
const READING: usize = limits::MANIFEST
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

/// Whatever the manifest is, a signature of somebody else is what a package is refused for.
#[test]
fn the_signature_is_verified_before_any_yaml_is_parsed() {
    let _turn = turn();
    let other = SecretKey::generate().unwrap();
    let bomb = [b"a: &a [".as_slice(), &b"[".repeat(60_000)].concat();
    for manifest in [b"\xff\xfe\0".as_slice(), b"not: [yaml", &bomb, MANIFEST] {
        let hashes = Hashes {
            meta: forge::sha256(COMMENT),
            manifest: forge::sha256(manifest),
            verity_root: forge::sha256(&[0; 4096]),
            verity_offset: 4096,
        };
        let signed = |signature: &[u8], manifest: &[u8]| {
            let image = [vec![0; 4096], forge::superblock(1, b"")].concat();
            let (front, end) = forge::archive(&Contents {
                layout: Layout::Current,
                comment: COMMENT,
                manifest,
                signature: Some(signature),
                image: Image {
                    size: image.len() as u32,
                    crc32: crc32fast::hash(&image),
                },
            });
            let bytes = [front, image, end].concat();
            scratch::with_file(bytes.len() as u64, &[(0, &bytes)], |file| {
                memory::measured(|| Package::open(file, Some(&PUBLIC)))
            })
        };
        let (foreign, taken) = signed(&hashes.sign(&other), manifest);
        assert!(
            matches!(foreign, Err(OpenError::Signature(SignatureError::Invalid))),
            "{foreign:?}"
        );
        // A parser would have taken more than the archive does.
        assert!(taken <= READING, "{taken}");

        // A document that is no list of hashes is not looked at either.
        let mut garbage = b"&a [*a, *a]\n---\nsignature: ".to_vec();
        garbage.extend(&hashes.sign(&other)[hashes.to_document().len() + 15..]);
        let (refused, _) = signed(&garbage, manifest);
        assert!(
            matches!(refused, Err(OpenError::Signature(SignatureError::Invalid))),
            "{refused:?}"
        );

        // With a valid signature of another manifest it is the hash.
        let (swapped, taken) = signed(&hashes.sign(&SECRET), b"a: b\n");
        assert!(
            matches!(
                swapped,
                Err(OpenError::Hash {
                    part: "manifest.yaml"
                })
            ),
            "{swapped:?}"
        );
        assert!(taken <= READING, "{taken}");
    }
}

/// The forge is no second opinion unless it writes what reference packages are.
#[test]
fn the_forge_writes_what_the_reference_packers_wrote() {
    let _turn = turn();
    for (name, layout) in [
        ("app-gzip.npk", Layout::Current),
        ("resource-unsigned.npk", Layout::Current),
        ("resource-gzip-0.9.1.npk", Layout::Legacy),
    ] {
        let file = fs::File::open(fixture(name)).unwrap();
        let bytes = fs::read(fixture(name)).unwrap();
        let archive = Archive::read(&file).unwrap();
        let mut image = vec![0; archive.image.size as usize];
        file.read_exact_at(&mut image, archive.image.offset)
            .unwrap();
        let (front, end) = forge::archive(&Contents {
            layout,
            comment: &archive.comment,
            manifest: &archive.manifest,
            signature: archive.signature.as_deref(),
            image: Image {
                size: image.len() as u32,
                crc32: crc32fast::hash(&image),
            },
        });
        assert!([front, image, end].concat() == bytes, "{name}");
    }
}
