//! The archive reader, by file and by stream.
//!
//! The input is an archive without the zeros in its middle: how long its front is (2 bytes), how
//! many zeros follow it (2 bytes), how the stream is cut (1 byte), then front and end.

use northstar_npk::archive::{self, Archive};
use northstar_npk::signature::Hashes;
use northstar_npk::{OpenError, StreamVerifier, limits};

use super::Target;
use crate::forge::{self, Contents, Image, Layout};
use crate::keys::fixture;
use crate::memory;
use crate::random::Random;
use crate::recipe::Recipe;
use crate::scratch;

/// The archive reader.
pub static TARGET: Target = Target {
    name: "archive",
    run,
    repair,
    seeds,
    words: &[
        b"PK\x01\x02",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"PK\x06\x06",
        b"PK\x06\x07",
        b"PK\x07\x08",
        b"manifest.yaml",
        b"signature.yaml",
        b"fs.img",
        b"\x1e\xa1",
        b"\x7a\x61",
        b"\xff\xff\xff\xff",
        b"\x0a\x03\x0a\0",
        b"\x2e\x03\x14\0",
        b"version: 0.9.2\n",
    ],
    limit: 4096,
};

/// What the frame of an archive takes beside its contents: the directory and the headers twice, as
/// found and as they have to be, each with up to two blocks of padding.
const FRAME: usize = 2 * (2 * limits::BLOCK + 256) + 2 * (2 * limits::BLOCK + 256);

/// Most memory in bytes that reading an archive takes: its contents at their limits, the comment as
/// found and as kept, one block, and the frame.
const LIMIT: usize =
    limits::MANIFEST + limits::SIGNATURE + 4 * limits::COMMENT + limits::BLOCK + FRAME;

/// A stream receives an entry in a buffer that doubles as it grows.
const STREAM_LIMIT: usize = 2 * LIMIT;

struct Pieces<'a> {
    front: &'a [u8],
    zeros: usize,
    cut: usize,
    end: &'a [u8],
}

impl<'a> Pieces<'a> {
    fn of(input: &'a [u8]) -> Pieces<'a> {
        let mut recipe = Recipe::new(input);
        let front = recipe.short();
        let zeros = recipe.short();
        let cut = recipe.byte();
        Pieces {
            front: recipe.bytes(front.into()),
            zeros: zeros.into(),
            cut: usize::from(cut) * 4 + 1,
            end: recipe.rest(),
        }
    }

    fn to_input(front: &[u8], zeros: usize, cut: u8, end: &[u8]) -> Vec<u8> {
        let mut input = (front.len() as u16).to_le_bytes().to_vec();
        input.extend((zeros as u16).to_le_bytes());
        input.push(cut);
        input.extend(front);
        input.extend(end);
        input
    }

    fn size(&self) -> usize {
        self.front.len() + self.zeros + self.end.len()
    }

    /// The whole file.
    fn bytes(&self) -> Vec<u8> {
        [self.front, &vec![0; self.zeros], self.end].concat()
    }
}

/// The archive that an input stands for.
pub fn expand(input: &[u8]) -> Vec<u8> {
    Pieces::of(input).bytes()
}

fn run(input: &[u8]) {
    let pieces = Pieces::of(input);
    let end = (pieces.size() - pieces.end.len()) as u64;
    let parts = [(0, pieces.front), (end, pieces.end)];
    let (archive, is_whole) = scratch::with_file(pieces.size() as u64, &parts, |file| {
        let archive = memory::bounded(LIMIT, || Archive::read(file));
        let is_whole = archive
            .as_ref()
            .is_ok_and(|archive| archive.check_image(file).is_ok());
        (archive, is_whole)
    });
    if let Ok(archive) = &archive {
        assert!(
            written(archive) == surroundings(archive, &pieces.bytes()),
            "not canonical"
        );
    }
    let streamed = memory::bounded(STREAM_LIMIT, || stream(&pieces));
    // A stream does not read the manifest, but the two other small parts.
    let expected = archive.is_ok_and(|archive| {
        let signature = archive
            .signature
            .as_deref()
            .map(Hashes::read_unauthenticated);
        is_whole && super::version(&archive.comment) && signature.is_none_or(|read| read.is_ok())
    });
    assert_eq!(streamed.is_ok(), expected, "{streamed:?}");
}

fn stream(pieces: &Pieces<'_>) -> Result<(), OpenError> {
    let zeros = [0; 4096];
    let mut stream = StreamVerifier::new(None);
    for piece in pieces.front.chunks(pieces.cut) {
        stream.update(piece)?;
    }
    let mut left = pieces.zeros;
    while left > 0 {
        let piece = &zeros[..left.min(pieces.cut.max(512))];
        stream.update(piece)?;
        left -= piece.len();
    }
    for piece in pieces.end.chunks(pieces.cut) {
        stream.update(piece)?;
    }
    stream.finish()
}

/// Front and end of the only archive with these contents.
fn written(archive: &Archive) -> (Vec<u8>, Vec<u8>) {
    forge::archive(&Contents {
        layout: match archive.layout {
            archive::Layout::Current => Layout::Current,
            archive::Layout::Legacy => Layout::Legacy,
        },
        comment: &archive.comment,
        manifest: &archive.manifest,
        signature: archive.signature.as_deref(),
        image: Image {
            size: archive.image.size as u32,
            crc32: archive.image.crc32,
        },
    })
}

/// What of `bytes` is around the image.
fn surroundings(archive: &Archive, bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let start = archive.image.offset as usize;
    let end = start + archive.image.size as usize;
    (bytes[..start].to_vec(), bytes[end..].to_vec())
}

/// Writes a new archive around the contents which the headers name, every other time.
fn repair(input: &mut Vec<u8>, random: &mut Random) {
    if random.once_in(2) {
        return;
    }
    let pieces = Pieces::of(input);
    let mut recipe = Recipe::new(pieces.front);
    let Some((manifest, _)) = content(&mut recipe) else {
        return;
    };
    let before = recipe;
    let signature = content(&mut recipe).filter(|(_, name)| *name == b"signature.yaml");
    if signature.is_none() {
        recipe = before;
    }
    // The image is the zeros. Of the last header only its size is taken over, if it can be.
    let header = recipe.bytes(30);
    let layout = match header.get(4) {
        Some(20) => Layout::Legacy,
        _ => Layout::Current,
    };
    let stated = header.get(22..26).map_or(0, |size| {
        u32::from_le_bytes([size[0], size[1], size[2], size[3]])
    });
    let size = match stated {
        1..0x8000 => stated,
        _ => 4096,
    };
    let comment = pieces
        .end
        .windows(4)
        .rposition(|word| word == b"PK\x05\x06");
    let comment = comment.and_then(|at| pieces.end.get(at + 22..));
    let (front, end) = forge::archive(&Contents {
        layout,
        comment: comment.unwrap_or(b"version: 0.9.2\n"),
        manifest,
        signature: signature.map(|(content, _)| content),
        image: Image {
            size,
            crc32: crc32fast::hash(&vec![0; size as usize]),
        },
    });
    *input = compact(
        &front,
        size as usize,
        &end,
        input.get(4).copied().unwrap_or(255),
    );
}

/// The input for an archive whose image is zeros.
fn compact(front: &[u8], image: usize, end: &[u8], cut: u8) -> Vec<u8> {
    let kept = front.len() - front.iter().rev().take_while(|byte| **byte == 0).count();
    Pieces::to_input(&front[..kept], front.len() - kept + image, cut, end)
}

/// The content and the name of the entry that begins here.
fn content<'a>(recipe: &mut Recipe<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let header = recipe.bytes(30);
    let size = u32::from_le_bytes(header.get(22..26)?.try_into().ok()?);
    let name = u16::from_le_bytes(header.get(26..28)?.try_into().ok()?);
    let name = recipe.bytes(name.into());
    Some((recipe.bytes(size as usize), name))
}

fn seeds() -> Vec<Vec<u8>> {
    let manifest = b"name: a\nversion: 0.0.1\nuid: 1\ngid: 1\n";
    let read = |name| {
        let file = std::fs::File::open(fixture(name)).expect("a fixture");
        Archive::read(&file).expect("an archive")
    };
    let signed = read("resource-gzip.npk");
    let mut seeds = Vec::new();
    for layout in [Layout::Current, Layout::Legacy] {
        for signature in [None, signed.signature.as_deref()] {
            for (comment, size) in [(b"version: 0.9.2\n", 4096), (b"version: 0.9.1\n", 12288)] {
                let (front, end) = forge::archive(&Contents {
                    layout,
                    comment,
                    manifest,
                    signature,
                    image: Image {
                        size,
                        crc32: crc32fast::hash(&vec![0; size as usize]),
                    },
                });
                seeds.push(compact(&front, size as usize, &end, size as u8 ^ 0x45));
            }
        }
    }
    seeds
}
