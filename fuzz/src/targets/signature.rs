//! The signature document.

use northstar_npk::signature::{Hashes, SignatureError};

use super::Target;
use crate::keys::{PUBLIC, SECRET, fixture};
use crate::memory;
use crate::random::Random;

/// The signature document.
pub static TARGET: Target = Target {
    name: "signature",
    run,
    repair,
    seeds,
    words: &[
        b"meta:\n  hash: ",
        b"manifest.yaml:\n  hash: ",
        b"fs.img:\n  verity-hash: ",
        b"  verity-offset: ",
        b"---\nsignature: ",
        b"\n",
        b"4096",
        b"18446744073709547520",
        b"==",
        b"0000000000000000000000000000000000000000000000000000000000000000",
    ],
    limit: 1024,
};

/// Most memory in bytes: nothing of the document is copied.
const LIMIT: usize = 4096;

const SEPARATOR: &[u8] = b"---\nsignature: ";

fn run(input: &[u8]) {
    let verified = memory::bounded(LIMIT, || Hashes::verify(input, &PUBLIC));
    let read = memory::bounded(LIMIT, || Hashes::read_unauthenticated(input));
    match (verified, read) {
        (Ok(verified), read) => {
            assert_eq!(read, Ok(verified));
            // There is one spelling of each document, and one signature of it.
            assert_eq!(verified.sign(&SECRET), input);
        }
        (Err(SignatureError::Invalid), Ok(read)) => {
            let document = read.to_document();
            assert!(input.starts_with(document.as_bytes()));
            assert_eq!(input.len(), document.len() + SEPARATOR.len() + 88);
        }
        (Err(SignatureError::Invalid), Err(_)) => {}
        (Err(error), read) => assert_eq!(read, Err(error)),
    }
}

/// Signs the first document anew, once in eight times.
fn repair(input: &mut Vec<u8>, random: &mut Random) {
    if !random.once_in(8) {
        return;
    }
    let separator = input
        .windows(SEPARATOR.len())
        .position(|word| word == SEPARATOR);
    if let Some(at) = separator {
        input.truncate(at);
        sign(input);
    }
}

/// Completes a document of any kind.
fn sign(document: &mut Vec<u8>) {
    let signature = encode(&SECRET.sign(document));
    document.extend(SEPARATOR);
    document.extend(signature);
}

/// RFC 4648, section 4, of 64 bytes.
fn encode(signature: &[u8; 64]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for chunk in signature.chunks(3) {
        let mut bits = 0_u32;
        for at in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0));
        }
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at > chunk.len() { b'=' } else { digit });
        }
    }
    text
}

fn seeds() -> Vec<Vec<u8>> {
    let reference = std::fs::File::open(fixture("resource-gzip.npk")).expect("a fixture");
    let archive = northstar_npk::archive::Archive::read(&reference).expect("an archive");
    let mut seeds = vec![archive.signature.expect("a signature")];
    for document in [
        &b"\n"[..],
        b"garbage\n",
        b"meta:\n  hash: 01\n",
        b"a: &a [*a]\n",
    ] {
        let mut seed = document.to_vec();
        sign(&mut seed);
        seeds.push(seed);
    }
    for offset in [0, 1, 4096, u64::MAX, u64::MAX - 4095] {
        let hashes = Hashes {
            meta: [1; 32],
            manifest: [0xab; 32],
            verity_root: [0xff; 32],
            verity_offset: offset,
        };
        seeds.push(hashes.sign(&SECRET));
    }
    seeds
}
