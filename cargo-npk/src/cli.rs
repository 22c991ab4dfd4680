//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use northstar_npk::squashfs::Compression;
use sextant::packing::{PackerArguments, compression};

/// The program as cargo calls it: `cargo-npk npk …`.
#[derive(Debug, Parser)]
#[command(name = "cargo", bin_name = "cargo")]
pub(crate) enum Cargo {
    Npk(Npk),
}

/// Build crates and pack them into Northstar packages (NPK)
#[derive(Debug, clap::Args)]
#[command(version, after_help = sextant::EXIT_STATUS, disable_help_subcommand = true)]
pub(crate) struct Npk {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Pack(Box<Pack>),
    /// Print the version
    Version,
}

/// Build the program of a crate and pack it
///
/// What is packed, and how, stands in the section [package.metadata.npk] of the crate's Cargo.toml; what is
/// given here goes before it. The program gets the place that the manifest's init names.
#[derive(Debug, clap::Args)]
pub(crate) struct Pack {
    /// Cargo.toml of the crate [default: the one of the current directory]
    #[arg(long, value_name = "FILE")]
    pub manifest_path: Option<PathBuf>,
    /// Crate of the workspace to build
    #[arg(short, long, value_name = "NAME")]
    pub package: Option<String>,
    /// Program of the crate to pack
    #[arg(long, value_name = "NAME")]
    pub bin: Option<String>,
    /// Target to build for
    #[arg(long, value_name = "TRIPLE")]
    pub target: Option<String>,
    /// Build with the profile release
    #[arg(short, long, conflicts_with = "profile")]
    pub release: bool,
    /// Profile to build with
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Features to switch on, besides those of Cargo.toml
    #[arg(short = 'F', long, value_name = "FEATURES", value_delimiter = ',')]
    pub features: Vec<String>,
    /// Do not switch on the feature default
    #[arg(long)]
    pub no_default_features: bool,
    /// Refuse to change Cargo.lock
    #[arg(long)]
    pub locked: bool,
    /// Build without network
    #[arg(long)]
    pub offline: bool,
    /// Put the dynamic libraries and the loader that the program needs into the image
    #[arg(long)]
    pub libs: bool,
    /// Directory to look for dynamic libraries in, before those of this machine; can be given more
    /// than once
    #[arg(long, value_name = "DIR")]
    pub lib_dir: Vec<PathBuf>,
    /// Secret key to sign with; without one the package is not signed
    #[arg(short, long, value_name = "KEY")]
    pub key: Option<PathBuf>,
    /// Compression of the image [default: gzip]
    #[arg(short, long, value_parser = compression())]
    pub compression: Option<Compression>,
    /// How many bytes of a file are compressed together: a power of two from 4096 to 1048576 [default: 131072]
    #[arg(short, long, value_name = "BYTES")]
    pub block_size: Option<u32>,
    #[command(flatten)]
    pub packer: PackerArguments,
    /// Make this many packages, with a number behind their names, in the directory --out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub clones: Option<u32>,
    /// Bill of materials to put into the image (CycloneDX or SPDX, as JSON)
    #[arg(long, value_name = "FILE")]
    pub sbom: Option<PathBuf>,
    /// The package, or a directory in which it is named NAME-VERSION.npk [default: npk in cargo's
    /// target directory]
    #[arg(short, long, value_name = "DIR|FILE")]
    pub out: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_man_pages_are_those_of_this_command_line() {
        let mut command = Cargo::command();
        command.build();
        let npk = command.find_subcommand("npk").unwrap().clone();
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/man");
        for page in sextant::man::pages(npk, sextant::man::SEXTANT).unwrap() {
            assert!(page.name.starts_with("cargo-npk"), "{}", page.name);
            let path = directory.join(&page.name);
            let page = String::from_utf8(page.roff).unwrap();
            if env::var_os("UPDATE_DOCS").is_some() {
                fs::write(&path, &page).unwrap();
            }
            let written = fs::read_to_string(&path).unwrap();
            assert_eq!(written, page, "set UPDATE_DOCS=1 to write it anew");
        }
    }
}
