//! Packing a tree, against `mksquashfs` and `veritysetup format`.

use std::{fs, path::Path, process::Command};

use anyhow::Result;
use northstar_manifest::Manifest;
use northstar_npk::{
    key::SecretKey,
    pack::{PackOptions, pack},
    squashfs::Compression,
};

use super::{
    run,
    time::{measures, spent},
    tree,
};
use crate::statistics::Measure;

/// Packs the tree `runs` times.
///
/// Ours is the whole way to a signed package that was read back, compared and synced; theirs is an
/// image and a hash tree.
///
/// # Errors
/// Something cannot be packed.
pub fn measure(scratch: &Path, compression: Compression, runs: usize) -> Result<Vec<Measure>> {
    let root = scratch.join("tree");
    if !root.exists() {
        tree::make(&root)?;
    }
    let mut own = Vec::new();
    let mut theirs = Vec::new();
    let mut sizes = (0, 0);
    // The first run fills the page cache.
    for number in 0..=runs {
        let (own_size, own_time) = spent(|| ours(scratch, &root, compression))?;
        let (their_size, their_time) = spent(|| mksquashfs(scratch, &root, compression))?;
        sizes = (own_size, their_size);
        if number > 0 {
            own.push(own_time);
            theirs.push(their_time);
        }
    }
    let name = |who: &str, size: u64| format!("{compression}: {who}, {} MB", size / 1_000_000);
    let mut measured = Vec::new();
    measured.extend(measures(&name("pack, sign, check", sizes.0), &own));
    measured.extend(measures(&name("mksquashfs, veritysetup", sizes.1), &theirs));
    Ok(measured)
}

fn ours(scratch: &Path, root: &Path, compression: Compression) -> Result<u64> {
    let manifest = Manifest::from_yaml(b"name: bench\nversion: 1.0.0\nuid: 1000\ngid: 1000\n")?;
    let key = SecretKey::generate()?;
    let options = PackOptions {
        root: Some(root),
        key: Some(&key),
        compression,
        ..PackOptions::new(&manifest)
    };
    let out = scratch.join("ours.npk");
    let packed = pack(&options, &out)?;
    fs::remove_file(&out)?;
    Ok(packed.size)
}

fn mksquashfs(scratch: &Path, root: &Path, compression: Compression) -> Result<u64> {
    let image = scratch.join("theirs.img");
    let tree = scratch.join("theirs.tree");
    let mut squash = Command::new("mksquashfs");
    squash.arg(root).arg(&image);
    squash.args(["-comp", compression.as_str()]);
    squash.args(["-all-root", "-no-xattrs", "-no-progress", "-quiet"]);
    let mut format = Command::new("veritysetup");
    format.arg("format").arg(&image).arg(&tree);
    run(&mut squash)?;
    run(&mut format)?;
    let size = fs::metadata(&image)?.len() + fs::metadata(&tree)?.len();
    fs::remove_file(&image)?;
    fs::remove_file(&tree)?;
    Ok(size)
}
