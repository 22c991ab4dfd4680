//! How long the install of a large package over TCP takes, next to writing the same bytes to the same file system.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use northstar_manifest::Manifest;
use northstar_npk::{
    key::SecretKey,
    pack::{PackOptions, pack},
    squashfs::Compression,
};

use super::{
    Arguments,
    site::{Setup, Site},
    wire,
};
use crate::statistics::Measure;

/// Size of the file in the package in bytes.
const SIZE: usize = 100_000_000;
/// What is written at once.
const CHUNK: usize = 1 << 20;

pub fn measure(arguments: &Arguments) -> Result<Vec<Measure>> {
    let folder = tempfile::Builder::new()
        .prefix("package-")
        .tempdir_in(&arguments.scratch)?;
    let key = SecretKey::generate()?;
    let public = key.write_pair(folder.path(), "bench")?.public;
    let bytes = package(folder.path(), &key)?;
    let mut measures = Vec::new();
    let keyed = format!("key = \"{}\"\nintegrity = \"full-read\"", public.display());
    for (name, repository) in [("signed", keyed.as_str()), ("without key", "")] {
        let setup = Setup {
            repository,
            ..Setup::default()
        };
        let site = Site::start(&arguments.northstar, &arguments.scratch, setup)?;
        let (mut installs, mut writes) = (Vec::new(), Vec::new());
        for _ in 0..arguments.installs {
            writes.push(write(site.folder(), &bytes)?);
            installs.push(install(&site, &bytes)?);
            let speed = |taken: &Duration| bytes.len() as f64 / 1e6 / taken.as_secs_f64();
            if let (Some(install), Some(write)) = (installs.last(), writes.last()) {
                eprintln!(
                    "{name}: install {:.0} MB/s, write and fsync {:.0} MB/s, {:.0} %",
                    speed(install),
                    speed(write),
                    100.0 * write.as_secs_f64() / install.as_secs_f64()
                );
            }
        }
        measures.push(Measure::new(
            format!("install of 100 MB, {name}"),
            &installs,
        ));
        measures.push(Measure::new("the same bytes, write and fsync", &writes));
        site.stop()?;
    }
    Ok(measures)
}

/// A package with a file that does not compress.
fn package(folder: &Path, key: &SecretKey) -> Result<Vec<u8>> {
    let root = folder.join("root");
    fs::create_dir(&root)?;
    let mut content = vec![0; SIZE];
    File::open("/dev/urandom")?.read_exact(&mut content)?;
    fs::write(root.join("content"), content)?;
    let manifest = Manifest::from_yaml(
        b"name: large\nversion: 0.0.1\ninit: /content\nuid: 1000\ngid: 1000\n",
    )?;
    let options = PackOptions {
        root: Some(&root),
        key: Some(key),
        compression: Compression::None,
        ..PackOptions::new(&manifest)
    };
    let packed = pack(&options, &folder.join("large.npk"))?;
    fs::read(packed.path).context("the package")
}

/// Writes a new file, makes it durable and removes it.
fn write(folder: &Path, bytes: &[u8]) -> Result<Duration> {
    let path = folder.join("written");
    let begin = Instant::now();
    let mut file = File::create(&path)?;
    for chunk in bytes.chunks(CHUNK) {
        file.write_all(chunk)?;
    }
    file.sync_all()?;
    let elapsed = begin.elapsed();
    fs::remove_file(path)?;
    Ok(elapsed)
}

/// From the request to the answer.
fn install(site: &Site, bytes: &[u8]) -> Result<Duration> {
    let mut wire = wire::tcp(&site.tcp, wire::CONNECT)?;
    let size = bytes.len();
    let request =
        format!("{{\"request\":{{\"install\":{{\"repository\":\"bench\",\"size\":{size}}}}}}}\n");
    let begin = Instant::now();
    wire.send(request.as_bytes())?;
    for chunk in bytes.chunks(CHUNK) {
        wire.send(chunk)?;
    }
    let answer = wire.line()?;
    let elapsed = begin.elapsed();
    ensure!(answer.contains("\"ok\""), "{answer}");
    let uninstall =
        b"{\"request\":{\"uninstall\":{\"container\":\"large:0.0.1\",\"wipe\":false}}}\n";
    let answer = wire.ask(uninstall)?;
    ensure!(answer.contains("\"ok\""), "{answer}");
    Ok(elapsed)
}
