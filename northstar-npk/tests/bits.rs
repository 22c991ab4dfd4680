//! Every single bit of small signed packages, one with a hash tree and one without.

#![cfg(test)]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::thread;

use common::{Workshop, copy_without_name};
use northstar_npk::key::PublicKey;
use northstar_npk::squashfs::Compression;
use northstar_npk::verity::{VerityError, verify_image};
use northstar_npk::{OpenError, Package, StreamVerifier};

const MANIFEST: &str = "name: bits\nversion: 1.2.3\nuid: 1000\ngid: 1000\n";

/// A manifest that leaves hardly any alignment in front of the image: padding is read, byte by byte,
/// every time, and one such test is as good as thousands.
fn manifest() -> String {
    let mut text = format!("{MANIFEST}custom:\n");
    // What stands in front of the image besides the manifest: three headers with names, and the signature.
    let around = 3 * 30 + 13 + 14 + 6 + 400;
    for index in 0.. {
        if text.len() + around > 4096 - 60 {
            break;
        }
        text.push_str(&format!("  k{index}: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"));
    }
    text
}

/// A package and where its parts are in the file, in bytes.
struct Subject {
    workshop: Workshop,
    path: std::path::PathBuf,
    size: u64,
    squashfs: Range<u64>,
    tree: Range<u64>,
    uuid: Range<u64>,
}

impl Subject {
    /// A package whose image has that many bytes that do not compress.
    fn new(bytes: u32) -> Subject {
        let workshop = Workshop::new();
        let root = workshop.path("root");
        fs::create_dir(&root).unwrap();
        let noise = |n: u32| n.wrapping_mul(0x9e37_79b9).to_le_bytes();
        let content: Vec<u8> = (0..bytes / 4).flat_map(noise).collect();
        fs::write(root.join("file"), content).unwrap();
        let path = workshop
            .pack(&manifest(), Some(&root), Compression::None)
            .path;
        let file = File::open(&path).unwrap();
        let key = workshop.key.public();
        let image = Package::open(&file, Some(&key)).unwrap().image().clone();
        let superblock = image.offset + image.squashfs_size;
        Subject {
            workshop,
            size: file.metadata().unwrap().len(),
            squashfs: image.offset..superblock,
            tree: superblock + 4096..image.offset + image.size,
            uuid: superblock + 16..superblock + 32,
            path,
        }
    }

    fn key(&self) -> PublicKey {
        self.workshop.key.public()
    }

    /// Flips each of the bits once, on two threads, and returns those after which `accepts` says so.
    fn accepted(&self, bits: &[u64], accepts: impl Fn(&File, u64) -> bool + Sync) -> BTreeSet<u64> {
        let halves = bits.split_at(bits.len() / 2);
        let run = |bits: &[u64]| {
            let file = copy_without_name(&self.path);
            let test = |bit: &u64| {
                flip(&file, *bit);
                let is_accepted = accepts(&file, *bit);
                flip(&file, *bit);
                is_accepted
            };
            let accepted: BTreeSet<u64> = bits.iter().copied().filter(test).collect();
            Package::open(&file, Some(&self.key())).unwrap();
            accepted
        };
        let mut accepted = BTreeSet::new();
        thread::scope(|scope| {
            let other = scope.spawn(|| run(halves.1));
            accepted.extend(run(halves.0));
            accepted.extend(other.join().unwrap());
        });
        accepted
    }
}

fn flip(file: &File, bit: u64) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).unwrap();
    byte[0] ^= 1 << (bit % 8);
    file.write_all_at(&byte, bit / 8).unwrap();
}

/// Whether an image is what its root hash stands for. That it cannot be read is no answer.
fn is_authentic(result: Result<(), VerityError>, bit: u64) -> bool {
    match result {
        Ok(()) => true,
        Err(VerityError::Block { .. } | VerityError::Padding { .. } | VerityError::Root) => false,
        Err(error) => panic!("bit {bit}: {error:?}"),
    }
}

fn bits(bytes: impl Iterator<Item = u64>) -> Vec<u64> {
    bytes.flat_map(|byte| byte * 8..byte * 8 + 8).collect()
}

#[test]
fn the_uuid_is_all_that_may_change_outside_of_data_and_tree() {
    for content in [100, 6000] {
        let subject = Subject::new(content);
        let key = subject.key();
        // Without a tree it is the same package, and all that differs is behind the image.
        let first = if subject.tree.is_empty() {
            subject.squashfs.end
        } else {
            0
        };
        let outside = |at: &u64| !subject.squashfs.contains(at) && !subject.tree.contains(at);
        let tried = bits((first..subject.size).filter(outside));
        let accepted =
            subject.accepted(&tried, |file, bit| match Package::open(file, Some(&key)) {
                Ok(package) => {
                    verify_image(file, package.image()).unwrap();
                    true
                }
                Err(
                    OpenError::Archive(_)
                    | OpenError::Version(_)
                    | OpenError::Hash { .. }
                    | OpenError::Superblock(_)
                    | OpenError::Verity(VerityError::Root),
                ) => false,
                Err(error) => panic!("bit {bit}: {error:?}"),
            });
        let uuid = bits(subject.uuid.clone());
        assert_eq!(accepted, uuid.into_iter().collect(), "{content}");
    }
}

#[test]
fn no_bit_of_data_and_tree_may_change() {
    for content in [100, 6000] {
        let subject = Subject::new(content);
        let file = File::open(&subject.path).unwrap();
        let package = Package::open(&file, Some(&subject.key())).unwrap();
        let has_tree = !subject.tree.is_empty();
        assert_eq!(has_tree, content > 4096);
        let tried = bits(subject.squashfs.clone().chain(subject.tree.clone()));
        let accepted = subject.accepted(&tried, |file, bit| {
            is_authentic(verify_image(file, package.image()), bit)
        });
        assert_eq!(accepted, BTreeSet::new(), "{content}");
    }
}

#[test]
fn no_bit_of_data_and_tree_may_change_on_its_way() {
    for content in [100, 6000] {
        let subject = Subject::new(content);
        let key = subject.key();
        let file = File::open(&subject.path).unwrap();
        let package = Package::open(&file, Some(&key)).unwrap();
        // One bit of each byte: all of them are tried above.
        let parts = subject.squashfs.clone().chain(subject.tree.clone());
        let tried: Vec<u64> = parts.map(|byte| byte * 8 + byte % 8).collect();
        let accepted = subject.accepted(&tried, |file, bit| {
            let mut bytes = vec![0; subject.size as usize];
            file.read_exact_at(&mut bytes, 0).unwrap();
            let mut stream = StreamVerifier::new(Some(key.clone()));
            let first = subject.squashfs.start as usize + 1;
            stream.update(&bytes[..first]).unwrap();
            let mut image = stream.image().unwrap();
            image.update(0, &bytes);
            is_authentic(image.verify(file, package.image()), bit)
        });
        assert_eq!(accepted, BTreeSet::new(), "{content}");
    }
}

/// What opening alone sees of the image: the block that the root hash is compared with.
#[test]
fn opening_checks_the_block_below_the_root_hash() {
    for content in [100, 6000] {
        let subject = Subject::new(content);
        let key = subject.key();
        let top = match subject.tree.is_empty() {
            true => subject.squashfs.clone(),
            false => subject.tree.start..subject.tree.start + 4096,
        };
        // One bit of each byte: all of them are tried above, against the whole verification.
        let tried: Vec<u64> = top.map(|byte| byte * 8 + byte % 8).collect();
        let accepted =
            subject.accepted(&tried, |file, bit| match Package::open(file, Some(&key)) {
                Ok(_) => true,
                Err(OpenError::Verity(VerityError::Root)) => false,
                Err(error) => panic!("bit {bit}: {error:?}"),
            });
        assert_eq!(accepted, BTreeSet::new(), "{content}");
    }
}
