//! How much memory packages may take that were made to use it up.

#![cfg(test)]

use std::sync::{Mutex, PoisonError};

use northstar_manifest::Manifest;
use northstar_npk::key::SecretKey;
use northstar_npk::limits::MANIFEST;
use northstar_npk::pack::{PackOptions, pack};
use northstar_npk::{OpenError, StreamVerifier};
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
