//! Opening many signed packages.

use std::{
    fs::{self, File},
    path::Path,
};

use anyhow::{Result, ensure};
use northstar_manifest::Manifest;
use northstar_npk::{
    Package,
    key::SecretKey,
    pack::{PackOptions, pack_clones},
};

use super::{Noise, time};
use crate::statistics::Measure;

const PACKAGES: u32 = 1000;

const MANIFEST: &str = "\
name: load
version: 1.0.0
init: /bin/program
uid: 1000
gid: 1000
args: [--verbose, --configuration, /etc/program.toml]
env: {RUST_LOG: info, HOME: /data}
mounts:
  /dev: {type: dev}
  /proc: {type: proc}
  /data: {type: persist}
  /tmp: {type: tmpfs, size: 1000000}
  /lib: {type: bind, host: /lib}
autostart: relaxed
io:
  stdout: pipe
  stderr: pipe
";

/// Opens all packages of a folder `runs` times, as the daemon does when it loads a repository, and
/// takes the processor time of each package.
///
/// # Errors
/// A package cannot be made, or is refused.
pub fn measure(scratch: &Path, runs: usize) -> Result<Vec<Measure>> {
    let folder = scratch.join("load");
    let root = scratch.join("load-root");
    fs::create_dir(&folder)?;
    fs::create_dir_all(root.join("bin"))?;
    let mut noise = Noise(3);
    let program: Vec<u8> = (0..100_000).map(|_| noise.next() as u8).collect();
    fs::write(root.join("bin/program"), program)?;
    let manifest = Manifest::from_yaml(MANIFEST.as_bytes())?;
    let secret = SecretKey::generate()?;
    let options = PackOptions {
        root: Some(&root),
        key: Some(&secret),
        ..PackOptions::new(&manifest)
    };
    pack_clones(&options, PACKAGES, &folder)?;

    let key = secret.public();
    let mut times = Vec::new();
    for _ in 0..runs {
        let begin = time::processor()?;
        let mut opened = 0;
        for entry in fs::read_dir(&folder)? {
            let file = File::open(entry?.path())?;
            let package = Package::open(&file, Some(&key))?;
            opened += u32::from(package.image().verity.is_some());
        }
        let spent = time::processor()?.saturating_sub(begin);
        ensure!(opened == PACKAGES, "{opened} packages are signed");
        times.push(spent / PACKAGES);
    }
    fs::remove_dir_all(&folder)?;
    Ok(vec![Measure::new(
        format!("processor time to open 1 of {PACKAGES} packages"),
        &times,
    )])
}
