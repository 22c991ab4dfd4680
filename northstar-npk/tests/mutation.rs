//! Whatever bytes arrive, opening them ends in a package or an error.

#![cfg(test)]

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::LazyLock;

use northstar_npk::archive::Archive;
use northstar_npk::key::PublicKey;
use northstar_npk::{OpenError, Package, StreamVerifier, verity};
use proptest::prelude::*;
use proptest::sample::Index;

static KEY: LazyLock<PublicKey> =
    LazyLock::new(|| PublicKey::read(&fixture("fixture.pub")).unwrap());
static PACKAGES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    [
        "app-gzip.npk",
        "resource-gzip-0.9.1.npk",
        "resource-zstd.npk",
    ]
    .map(|name| fs::read(fixture(name)).unwrap())
    .to_vec()
});

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn stream(bytes: &[u8], piece: usize) -> Result<(), OpenError> {
    let mut stream = StreamVerifier::new(Some(KEY.clone()));
    bytes
        .chunks(piece)
        .try_for_each(|piece| stream.update(piece))?;
    stream.finish()
}

/// One way to damage a package.
#[derive(Debug, Clone)]
enum Damage {
    Set(Index, Vec<u8>),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// Copies a piece of the file to another place.
    Copy(Index, Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    // Values that mean something in headers come up more often than by chance.
    let interesting = prop_oneof![
        any::<Vec<u8>>(),
        Just(vec![0xff; 4]),
        Just(vec![0; 4]),
        Just(b"PK\x01\x02".to_vec()),
        Just(b"PK\x03\x04".to_vec()),
        Just(b"PK\x05\x06".to_vec()),
        Just(b"PK\x06\x06".to_vec()),
    ];
    prop_oneof![
        4 => (any::<Index>(), interesting.clone()).prop_map(|(at, bytes)| Damage::Set(at, bytes)),
        1 => (any::<Index>(), interesting).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (any::<Index>(), 1_usize..5000).prop_map(|(at, count)| Damage::Remove(at, count)),
        1 => (any::<Index>(), any::<Index>(), 1_usize..5000)
            .prop_map(|(from, to, count)| Damage::Copy(from, to, count)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let size = bytes.len();
    if size == 0 {
        return;
    }
    match damage {
        Damage::Set(at, new) => {
            let at = at.index(size);
            let count = new.len().min(size - at);
            bytes[at..at + count].copy_from_slice(&new[..count]);
        }
        Damage::Insert(at, new) => {
            let at = at.index(size);
            bytes.splice(at..at, new.iter().copied());
        }
        Damage::Remove(at, count) => {
            let at = at.index(size);
            bytes.drain(at..size.min(at + count));
        }
        Damage::Copy(from, to, count) => {
            let (from, to) = (from.index(size), to.index(size));
            let count = (*count).min(size - from).min(size - to);
            bytes.copy_within(from..from + count, to);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What still opens and verifies differs from the original in nothing that is ever read.
    #[test]
    fn damaged_packages_are_refused(
        package in 0..3_usize,
        damages in prop::collection::vec(damage(), 1..4),
        piece in 1..5000_usize,
    ) {
        let original = &PACKAGES[package];
        let mut bytes = original.clone();
        damages.iter().for_each(|damage| apply(&mut bytes, damage));
        let damaged = file(&bytes);

        let opened = Package::open(&damaged, Some(&KEY));
        if let Ok(package) = opened
            && verity::verify_image(&damaged, package.image()).is_ok()
            && package.archive().check_image(&damaged).is_ok()
        {
            // The checksum covers the uuid too, so nothing at all may differ.
            prop_assert!(bytes == *original);
        }
        if stream(&bytes, piece).is_ok() {
            prop_assert!(bytes == *original);
        }
    }

    /// An archive that is accepted is the only one with its contents.
    #[test]
    fn accepted_archives_are_canonical(
        package in 0..3_usize,
        damages in prop::collection::vec(damage(), 1..3),
    ) {
        let mut bytes = PACKAGES[package].clone();
        damages.iter().for_each(|damage| apply(&mut bytes, damage));
        if let Ok(archive) = Archive::read(&file(&bytes)) {
            let original = Archive::read(&file(&PACKAGES[package])).unwrap();
            let start = archive.image.offset as usize;
            let image = start..start + archive.image.size as usize;
            let comment = bytes.len() - archive.comment.len()..bytes.len();
            if archive == original {
                for (at, (new, old)) in bytes.iter().zip(&PACKAGES[package]).enumerate() {
                    let free = image.contains(&at) || comment.contains(&at);
                    prop_assert!(new == old || free, "byte {}", at);
                }
            }
        }
    }

    #[test]
    fn anything_is_refused(bytes: Vec<u8>, piece in 1..100_usize) {
        let opened = Package::open(&file(&bytes), None);
        prop_assert!(matches!(opened, Err(OpenError::Archive(_))));
        prop_assert!(matches!(stream(&bytes, piece), Err(OpenError::Archive(_))));
    }
}
