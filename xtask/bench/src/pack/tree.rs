//! The tree that is packed.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Result;

use super::Noise;

/// How many files.
const FILES: u64 = 2000;
/// Bytes of all files together.
const SIZE: u64 = 200_000_000;

/// Makes 2000 files of 200 MB together, the same in every run.
///
/// Sizes are spread as in a root file system: half of the files have less than 30 KB, and the
/// largest tenth has most of the bytes. A quarter of the bytes is text, a half is records as
/// programs and their data have them, a fifth is compressed already and the rest zero.
///
/// # Errors
/// A file cannot be written.
pub fn make(root: &Path) -> Result<()> {
    let mut noise = Noise(1);
    // Sizes as powers of two of an evenly spread exponent, scaled to their sum.
    let weights: Vec<f64> = (0..FILES)
        .map(|_| (noise.below(1000) as f64 / 1000.0 * 11.0).exp2())
        .collect();
    let sum: f64 = weights.iter().sum();
    for (number, weight) in weights.iter().enumerate() {
        let size = (weight / sum * SIZE as f64) as usize;
        let folder = root.join(format!("folder-{:02}", number % 40));
        fs::create_dir_all(&folder)?;
        let content = match number % 20 {
            0..5 => text(size, &mut noise),
            5..15 => records(size, &mut noise),
            15..19 => random(size, &mut noise),
            _ => vec![0; size],
        };
        fs::write(folder.join(format!("file-{number:04}")), content)?;
    }
    Ok(())
}

/// Lines of a log: words out of a few thousand, numbers in between.
fn text(size: usize, noise: &mut Noise) -> Vec<u8> {
    let mut text = String::with_capacity(size + 100);
    while text.len() < size {
        // Writing to a string does not fail.
        let _ = write!(text, "{:>8}", noise.below(100_000_000));
        for _ in 0..8 {
            // Few words are frequent, most are rare.
            let rank = noise.below(4000) * noise.below(4000) / 4000;
            let _ = write!(text, " w{}", rank.wrapping_mul(2_654_435_761) % 100_000);
        }
        text.push('\n');
    }
    text.truncate(size);
    text.into_bytes()
}

/// Records of 16 bytes: a tag out of a few, a counter, a small and a random number.
fn records(size: usize, noise: &mut Noise) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 16);
    let mut counter = 0_u32;
    while bytes.len() < size {
        bytes.extend(
            (noise.below(24) as u32)
                .wrapping_mul(0x0101_0101)
                .to_le_bytes(),
        );
        bytes.extend(counter.to_le_bytes());
        bytes.extend((noise.below(500) as u32).to_le_bytes());
        bytes.extend((noise.next() as u32 & 0xffff).to_le_bytes());
        counter = counter.wrapping_add(8);
    }
    bytes.truncate(size);
    bytes
}

fn random(size: usize, noise: &mut Noise) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend(noise.next().to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
