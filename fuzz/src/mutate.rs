//! Changing inputs where no coverage is measured: the short run of the tests.

use crate::random::Random;

/// Numbers at which sizes, counts and offsets change their meaning.
const EDGES: [u64; 16] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x100,
    0xfff,
    0x1000,
    0x1001,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// Changes `bytes` one to four times, and keeps them to `limit` bytes.
///
/// `words` are what means something to the target; `other` is an input to take pieces from.
pub fn mutate(
    bytes: &mut Vec<u8>,
    other: &[u8],
    words: &[&[u8]],
    limit: usize,
    random: &mut Random,
) {
    for _ in 0..=random.below(4) {
        change(bytes, other, words, random);
        bytes.truncate(limit);
    }
}

fn change(bytes: &mut Vec<u8>, other: &[u8], words: &[&[u8]], random: &mut Random) {
    let size = bytes.len();
    let at = random.below(size + 1);
    let piece = |random: &mut Random, from: &[u8]| {
        let start = random.below(from.len());
        let count = random.below(64.min(from.len() - start) + 1);
        from[start..start + count].to_vec()
    };
    match random.below(9) {
        0 if at < size => bytes[at] ^= 1 << random.below(8),
        1 if at < size => bytes[at] = random.draw() as u8,
        2 => overwrite(bytes, at, &number(random)),
        3 => insert(bytes, at, &piece(random, other)),
        4 => overwrite(bytes, at, &piece(random, other)),
        5 => {
            let end = at + random.below(64.min(size - at) + 1);
            bytes.drain(at..end);
        }
        6 => {
            let own = piece(random, bytes);
            insert(bytes, at, &own);
        }
        7 => {
            let word = random.choose(words).copied().unwrap_or_default();
            insert(bytes, at, word);
        }
        8 => {
            let word = random.choose(words).copied().unwrap_or_default();
            overwrite(bytes, at, word);
        }
        _ => bytes.push(random.draw() as u8),
    }
}

/// An edge in one, two, four or eight bytes.
fn number(random: &mut Random) -> Vec<u8> {
    let edge = EDGES[random.below(EDGES.len())].to_le_bytes();
    edge[..1 << random.below(4)].to_vec()
}

fn insert(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    bytes.splice(at..at, new.iter().copied());
}

fn overwrite(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    let end = bytes.len().min(at + new.len());
    bytes.splice(at..end, new.iter().copied());
}
