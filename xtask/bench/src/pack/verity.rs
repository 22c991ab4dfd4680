//! The hash tree over 1 GiB, against `veritysetup format`.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use northstar_npk::verity::hash_tree;

use super::{Noise, run};
use crate::statistics::Measure;

const SIZE: u64 = 1 << 30;
const BLOCK: u64 = 4096;

/// Builds the tree `runs` times and compares it with theirs each time.
///
/// # Errors
/// A tree cannot be made, or they differ.
pub fn measure(scratch: &Path, runs: usize) -> Result<Vec<Measure>> {
    let data = scratch.join("verity.data");
    let theirs = scratch.join("verity.tree");
    let mut writer = BufWriter::with_capacity(1 << 20, File::create(&data)?);
    let mut noise = Noise(2);
    for _ in 0..SIZE / 8 {
        writer.write_all(&noise.next().to_le_bytes())?;
    }
    writer.flush()?;
    let salt = [0x5a; 32];
    let uuid = [0x11; 16];

    let mut own_times = Vec::new();
    let mut their_times = Vec::new();
    // The first run fills the page cache.
    for number in 0..=runs {
        let begin = Instant::now();
        let file = File::open(&data)?;
        let tree = hash_tree(&file, SIZE / BLOCK, &salt, uuid)?;
        let bytes = tree.to_bytes();
        let ours = scratch.join("verity.ours");
        fs::write(&ours, &bytes)?;
        let own_time = begin.elapsed();

        let begin = Instant::now();
        let mut format = Command::new("veritysetup");
        format.arg("format").arg(&data).arg(&theirs);
        format.arg(format!("--salt={}", "5a".repeat(32)));
        format.arg("--uuid=11111111-1111-1111-1111-111111111111");
        let output = run(&mut format)?;
        let their_time = begin.elapsed();
        if number > 0 {
            own_times.push(own_time);
            their_times.push(their_time);
        }

        let text = String::from_utf8(output.stdout)?;
        let root = text
            .lines()
            .find_map(|line| line.strip_prefix("Root hash:"))
            .context("veritysetup names no root hash")?;
        let own_root: String = tree
            .root_hash
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        ensure!(root.trim() == own_root, "root hashes differ");
        ensure!(fs::read(&theirs)? == bytes, "hash trees differ");
        fs::remove_file(&theirs)?;
    }
    fs::remove_file(&data)?;
    Ok(vec![
        Measure::new("hash tree of 1 GiB", &own_times),
        Measure::new("veritysetup format of 1 GiB", &their_times),
    ])
}
