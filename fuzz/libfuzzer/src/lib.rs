//! What every target needs to run under libFuzzer.

use std::env;
use std::fs;
use std::path::Path;

use northstar_fuzz::Target;
use northstar_fuzz::random::Random;

/// Names a directory that the seeds and the dictionary of the target are written to, and nothing
/// else is then done.
const EXPORT: &str = "NORTHSTAR_FUZZ_EXPORT";

/// Writes seeds and dictionary and ends the process, if it is asked to by the environment.
pub fn prepare(target: &Target) {
    let Some(directory) = env::var_os(EXPORT) else {
        return;
    };
    let directory = Path::new(&directory);
    for (index, seed) in (target.seeds)().iter().enumerate() {
        fs::write(directory.join(format!("seed-{index:03}")), seed).expect("a seed is written");
    }
    let quote = |word: &[u8]| -> String {
        let escaped: String = word.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        format!("\"{escaped}\"\n")
    };
    let words = target.words.iter().filter(|word| !word.is_empty());
    let dictionary: String = words.map(|word| quote(word)).collect();
    fs::write(directory.join("dictionary"), dictionary).expect("the dictionary is written");
    std::process::exit(0);
}

/// Repairs what libFuzzer has changed in `bytes`; returns the size of the result, of which `bytes` holds all.
pub fn repair(target: &Target, bytes: &mut [u8], size: usize, limit: usize, seed: u32) -> usize {
    let mut input = bytes[..size].to_vec();
    (target.repair)(&mut input, &mut Random::new(seed.into()));
    let size = input.len().min(limit).min(bytes.len());
    bytes[..size].copy_from_slice(&input[..size]);
    size
}

/// The program for one target.
#[macro_export]
macro_rules! target {
    ($target:path) => {
        use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

        fuzz_target!(init: $crate::prepare(&$target), |data: &[u8]| ($target.run)(data));

        fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            let size = fuzzer_mutate(data, size, max_size);
            $crate::repair(&$target, data, size, max_size, seed)
        });
    };
}
