//! Packing, hash trees and loading, on this machine, side by side with `mksquashfs` and
//! `veritysetup` (packages `squashfs-tools` and `cryptsetup-bin`).
//!
//! The runs of both sides alternate, so that both see the same machine in the same state.

mod image;
mod load;
mod time;
mod tree;
mod verity;

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};

use northstar_npk::squashfs::Compression;

use crate::statistics::Measure;

/// Measure packing, hash trees and loading.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Existing folder for trees and packages, about 4 GiB.
    #[arg(long)]
    scratch: PathBuf,
    /// Number of runs of what takes a few seconds.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Number of runs of what takes many seconds: packing with xz and zstd.
    #[arg(long, default_value_t = 2)]
    long_runs: usize,
    /// Measure packing with these only: gzip, zstd, xz.
    #[arg(long)]
    compression: Vec<Compression>,
    /// File that receives every value.
    #[arg(long)]
    pub json: PathBuf,
}

/// Measures everything.
///
/// # Errors
/// Something cannot be packed or read, a program is missing, or its result differs from ours.
pub fn measure(arguments: &Arguments) -> Result<Vec<Measure>> {
    let scratch = tempfile::Builder::new()
        .prefix("pack-")
        .tempdir_in(&arguments.scratch)
        .with_context(|| format!("cannot use {}", arguments.scratch.display()))?;
    let runs = arguments.runs;
    let mut measures = Vec::new();
    if arguments.compression.is_empty() {
        measures.extend(verity::measure(scratch.path(), runs).context("hash tree")?);
        measures.extend(load::measure(scratch.path(), runs).context("loading")?);
    }
    let asked = |compression| {
        arguments.compression.is_empty() || arguments.compression.contains(&compression)
    };
    for (compression, runs) in [
        (Compression::Gzip, runs),
        (Compression::Zstd, arguments.long_runs),
        (Compression::Xz, arguments.long_runs),
    ] {
        if asked(compression) {
            let packed = image::measure(scratch.path(), compression, runs);
            measures.extend(packed.with_context(|| format!("packing with {compression}"))?);
        }
    }
    Ok(measures)
}

/// Runs a program that has to succeed.
fn run(command: &mut Command) -> Result<Output> {
    let name = command.get_program().to_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", name.display()))?;
    ensure!(
        output.status.success(),
        "{} failed with {}: {}",
        name.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

/// Numbers that look random and are the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        // splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}
