//! The hash tree over 1 GiB, against `veritysetup format`.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use northstar_npk::verity::hash_tree;

use super::{
    Noise, run,
    time::{measures, spent},
};
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
        let (tree, own) = spent(|| {
            let file = File::open(&data)?;
            let tree = hash_tree(&file, SIZE / BLOCK, &salt, uuid)?;
            fs::write(scratch.join("verity.ours"), tree.to_bytes())?;
            Ok(tree)
        })?;
        let (output, their) = spent(|| {
            let mut format = Command::new("veritysetup");
            format.arg("format").arg(&data).arg(&theirs);
            format.arg(format!("--salt={}", "5a".repeat(32)));
            format.arg("--uuid=11111111-1111-1111-1111-111111111111");
            run(&mut format)
        })?;
        if number > 0 {
            own_times.push(own);
            their_times.push(their);
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
        ensure!(fs::read(&theirs)? == tree.to_bytes(), "hash trees differ");
        fs::remove_file(&theirs)?;
    }
    fs::remove_file(&data)?;
    let mut measured = Vec::new();
    measured.extend(measures("hash tree of 1 GiB", &own_times));
    measured.extend(measures("veritysetup format of 1 GiB", &their_times));
    Ok(measured)
}
