//! The constraints of the archive reader, one by one.

mod bounds;
mod frame;
mod signature;

use std::fs;
use std::os::unix::fs::FileExt;

use northstar_fuzz::forge::{self, Contents, Image, Layout};
use northstar_fuzz::keys::fixture;
use northstar_fuzz::scratch;
use northstar_npk::StreamVerifier;
use northstar_npk::archive::{Archive, ArchiveError};

const COMMENT: &[u8] = b"version: 0.9.2\n";
const MANIFEST: &[u8] = b"name: a\nversion: 0.0.1\nuid: 1\ngid: 1\n";

/// Tests that count memory or reads have the process to themselves: this program runs with one lock.
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
