//! The frame has exactly one form: headers that agree, no entry too many, no byte that belongs to nothing.

use northstar_fuzz::forge::Layout;
use northstar_fuzz::scratch;
use northstar_npk::archive::{Archive, ArchiveError, EntryName};

use crate::{COMMENT, archive, headers, read, turn};

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
