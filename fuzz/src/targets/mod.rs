//! The targets, one file each.

pub mod archive;
#[cfg(feature = "daemon")]
pub mod codec;
#[cfg(feature = "daemon")]
pub mod config;
#[cfg(feature = "daemon")]
pub mod groups;
pub mod manifest;
pub mod package;
#[cfg(feature = "daemon")]
pub mod seccomp;
#[cfg(feature = "session")]
pub mod session;
pub mod signature;
pub mod tree;
pub mod unpack;

use std::fs;
use std::path::{Path, PathBuf};

use crate::random::Random;

/// Something that reads what others wrote.
#[derive(Debug)]
pub struct Target {
    /// Its name, which its corpus has as well.
    pub name: &'static str,
    /// Takes one input; panics if something is wrong with how it was taken.
    pub run: fn(&[u8]),
    /// Makes a changed input one that gets further, as a forger would. It may as well do nothing.
    pub repair: fn(&mut Vec<u8>, &mut Random),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What means something in an input.
    pub words: &'static [&'static [u8]],
    /// Longest input in bytes.
    pub limit: usize,
}

/// All targets.
pub static ALL: &[&Target] = &[
    &archive::TARGET,
    &package::TARGET,
    &signature::TARGET,
    &manifest::TARGET,
    &tree::TARGET,
    &tree::DEEP,
    &unpack::TARGET,
    #[cfg(feature = "daemon")]
    &codec::TARGET,
    #[cfg(feature = "session")]
    &session::TARGET,
    #[cfg(feature = "daemon")]
    &config::TARGET,
    #[cfg(feature = "daemon")]
    &seccomp::TARGET,
    #[cfg(feature = "daemon")]
    &groups::TARGET,
];

impl Target {
    /// The inputs kept in the tree, in the order of their names.
    ///
    /// # Panics
    /// They cannot be read.
    pub fn corpus(&self) -> Vec<Vec<u8>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(self.corpus_directory())
            .expect("a corpus")
            .map(|entry| entry.expect("an entry of the corpus").path())
            .collect();
        paths.sort();
        let read = |path: PathBuf| fs::read(path).expect("an input of the corpus");
        paths.into_iter().map(read).collect()
    }

    /// Where the inputs are that are kept in the tree.
    pub fn corpus_directory(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(self.name)
    }
}

/// For targets whose inputs have nothing to repair.
fn leave(_: &mut Vec<u8>, _: &mut Random) {}

/// Whether this is the one line with a supported version.
fn version(comment: &[u8]) -> bool {
    let version = std::str::from_utf8(comment)
        .ok()
        .and_then(|text| text.strip_prefix("version: ")?.strip_suffix('\n'))
        .and_then(|version| northstar_manifest::Version::parse(version).ok());
    version.is_some_and(|version| {
        version.major == 0 && version >= northstar_manifest::Version::new(0, 9, 0)
    })
}
