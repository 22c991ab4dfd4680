//! What is accepted here, other readers of ZIP files list and extract as the same: Python's
//! `zipfile`, and libarchive by the central directory as well as by the local headers.
//!
//! A reader that finds something else in a file could be shown another package than the one that
//! was checked.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use northstar_fuzz::forge::{self, Contents, Image, Layout};
use northstar_fuzz::keys::{SECRET, fixture};
use northstar_fuzz::mutate::mutate;
use northstar_fuzz::random::Random;
use northstar_fuzz::{scratch, targets};
use northstar_manifest::Manifest;
use northstar_npk::archive::Archive;
use northstar_npk::pack::{PackOptions, pack};
use northstar_npk::squashfs::Compression;
use sha2::{Digest, Sha256};

/// The other readers, one process for all archives.
struct Readers {
    process: Child,
}

impl Readers {
    fn start() -> (Readers, ChildStdin, BufReader<ChildStdout>) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential.py");
        let mut process = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 (packages python3 and libarchive13)");
        let stdin = process.stdin.take().expect("a pipe");
        let stdout = BufReader::new(process.stdout.take().expect("a pipe"));
        (Readers { process }, stdin, stdout)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // It ends with its input; this is for tests that fail before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Compares all `archives`, which are accepted here, with what others find in them.
fn compare(archives: &[Vec<u8>]) {
    let (_readers, mut stdin, mut stdout) = Readers::start();
    thread::scope(|scope| {
        scope.spawn(move || {
            for archive in archives {
                let size = archive.len() as u32;
                // After a failed comparison nobody reads any more.
                if stdin.write_all(&size.to_le_bytes()).is_err()
                    || stdin.write_all(archive).is_err()
                {
                    return;
                }
            }
        });
        for (index, archive) in archives.iter().enumerate() {
            let expected = entries(archive).expect("an accepted archive");
            let mut line = String::new();
            stdout.read_line(&mut line).expect("an answer");
            let answers: Vec<&str> = line.trim_end().split('\t').collect();
            assert_eq!(answers, [expected.as_str(); 3], "archive {index}");
        }
    });
}

/// The SHA-256 over names and contents, if the archive is accepted.
fn entries(bytes: &[u8]) -> Option<String> {
    scratch::with_file(bytes.len() as u64, &[(0, bytes)], |file| {
        let archive = Archive::read(file).ok()?;
        archive.check_image(file).ok()?;
        let mut image = vec![0; archive.image.size as usize];
        file.read_exact_at(&mut image, archive.image.offset).ok()?;
        let mut sha256 = Sha256::new();
        let mut add = |name: &str, content: &[u8]| {
            for part in [name.as_bytes(), content] {
                sha256.update((part.len() as u64).to_le_bytes());
                sha256.update(part);
            }
        };
        add("manifest.yaml", &archive.manifest);
        if let Some(signature) = &archive.signature {
            add("signature.yaml", signature);
        }
        add("fs.img", &image);
        Some(
            sha256
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    })
}

/// All files of the directory that are packages.
fn packages(directory: &Path) -> Vec<Vec<u8>> {
    let paths = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "npk"))
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn packages_of_the_reference_packer_and_of_this_one() {
    let mut archives = packages(fixture("fixture.pub").parent().unwrap());
    assert!(archives.len() >= 7);
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("file"), vec![7; 20_000]).unwrap();
    for (index, compression) in [Compression::None, Compression::Gzip, Compression::Zstd]
        .into_iter()
        .enumerate()
    {
        for key in [None, Some(&*SECRET)] {
            let name = format!("a{index}{}", if key.is_some() { "s" } else { "u" });
            let text = format!("name: {name}\nversion: 0.0.1\nuid: 1\ngid: 1\n");
            let manifest = Manifest::from_yaml(text.as_bytes()).unwrap();
            let options = PackOptions {
                root: Some(&root),
                key,
                compression,
                ..PackOptions::new(&manifest)
            };
            pack(&options, directory.path()).unwrap();
        }
    }
    let own = packages(directory.path());
    assert_eq!(own.len(), 6);
    archives.extend(own);
    compare(&archives);
}

/// A package of 0 to 7 and of 4090 to 4096 bytes of alignment is one with a special extra field.
#[test]
fn every_size_of_the_alignment() {
    let mut archives = Vec::new();
    for layout in [Layout::Current, Layout::Legacy] {
        // What stands in front of the image besides the manifest: two headers with names.
        let around = 30 + 13 + 30 + 6;
        for missing in (0..10).chain((10..4080).step_by(97)).chain(4080..4096) {
            let manifest = vec![b'#'; 2 * 4096 - around - missing];
            let image = vec![missing as u8; 4096];
            archives.push(forged(layout, b"version: 0.9.2\n", &manifest, None, &image));
        }
    }
    for archive in &archives {
        assert!(entries(archive).is_some());
    }
    compare(&archives);
}

fn forged(
    layout: Layout,
    comment: &[u8],
    manifest: &[u8],
    signature: Option<&[u8]>,
    image: &[u8],
) -> Vec<u8> {
    let (front, end) = forge::archive(&Contents {
        layout,
        comment,
        manifest,
        signature,
        image: Image {
            size: image.len() as u32,
            crc32: crc32fast::hash(image),
        },
    });
    [&front, image, &end].concat()
}

/// What random changes leave acceptable, with checksums and lengths made to fit or not.
#[test]
fn changed_archives() {
    const ENOUGH: usize = 2000;
    let target = &targets::archive::TARGET;
    let inputs = [(target.seeds)(), target.corpus()].concat();
    let mut random = Random::new(3);
    let mut archives = Vec::new();
    let mut tried = 0;
    while archives.len() < ENOUGH {
        let mut input = random.choose(&inputs).cloned().unwrap();
        let other = random.choose(&inputs).cloned().unwrap();
        mutate(&mut input, &other, target.words, target.limit, &mut random);
        (target.repair)(&mut input, &mut random);
        let bytes = targets::archive::expand(&input);
        tried += 1;
        assert!(tried < 100 * ENOUGH, "changes are hardly ever acceptable");
        // What is longer than this says nothing more, and takes its time.
        if bytes.len() < 20_000 && entries(&bytes).is_some() {
            archives.push(bytes);
        }
    }
    compare(&archives);
}

/// Changes to the bytes of whole packages; hardly any of them are accepted.
#[test]
fn changed_packages() {
    let mut random = Random::new(4);
    let originals = packages(fixture("fixture.pub").parent().unwrap());
    let originals: Vec<_> = originals
        .into_iter()
        .filter(|bytes| bytes.len() < 50_000)
        .collect();
    let mut archives = Vec::new();
    for _ in 0..5000 {
        let mut bytes = random.choose(&originals).cloned().unwrap();
        let size = bytes.len();
        let other = random.choose(&originals).cloned().unwrap();
        let original = bytes.clone();
        mutate(
            &mut bytes,
            &other,
            targets::archive::TARGET.words,
            size + 4096,
            &mut random,
        );
        if entries(&bytes).is_some() && bytes != original {
            archives.push(bytes);
        }
    }
    compare(&archives);
}

/// The comparison compares: a reader is shown something that is not accepted here.
#[test]
fn the_others_are_more_tolerant() {
    let bytes = forged(
        Layout::Current,
        b"version: 0.9.2\n",
        b"name: a",
        None,
        &[1; 4096],
    );
    // Something in front, which readers that begin at the end take for the stub of a program.
    let prefixed = [b"#!/bin/sh\n", bytes.as_slice()].concat();
    assert_eq!(entries(&prefixed), None);
    let (_readers, mut stdin, mut stdout) = Readers::start();
    stdin
        .write_all(&(prefixed.len() as u32).to_le_bytes())
        .unwrap();
    stdin.write_all(&prefixed).unwrap();
    drop(stdin);
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let expected = entries(&bytes).unwrap();
    assert_eq!(line.split('\t').next(), Some(expected.as_str()), "{line}");
}

#[test]
fn a_file_is_read_as_its_bytes() {
    let path = fixture("resource-gzip.npk");
    let bytes = fs::read(&path).unwrap();
    let archive = Archive::read(&File::open(&path).unwrap()).unwrap();
    let (front, end) = (
        archive.image.offset as usize,
        (archive.image.offset + archive.image.size) as usize,
    );
    let again = forged(
        Layout::Current,
        &archive.comment,
        &archive.manifest,
        archive.signature.as_deref(),
        &bytes[front..end],
    );
    assert!(
        again == bytes,
        "the forge writes what the reference packer wrote"
    );
}
