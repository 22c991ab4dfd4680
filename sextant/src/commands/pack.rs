//! `pack`.

use std::path::PathBuf;

use crate::output::Output;
use crate::packing::{self, ImageArguments, Job};

/// Make a package out of a manifest and a directory
///
/// The same input gives the same bytes, on any machine. Files get the owner of the manifest and the
/// time in SOURCE_DATE_EPOCH, or 0. The package is read back and checked before it gets its name; an
/// existing file of that name is replaced.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The manifest
    #[arg(short, long, value_name = "FILE")]
    manifest_path: PathBuf,
    /// Directory with the content of the image; without it the image holds just the mount points
    #[arg(short, long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The package, or a directory in which it is named NAME-VERSION.npk
    #[arg(short, long, value_name = "DIR|FILE")]
    out: PathBuf,
    /// Secret key to sign with; without it the package is not signed
    #[arg(short, long, value_name = "KEY")]
    key: Option<PathBuf>,
    #[command(flatten)]
    image: ImageArguments,
    /// Squashfs image that exists: it is packed as it is, and has to have the mount points of the
    /// manifest
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["root", "sbom", "compression", "block_size", "packer", "mksquashfs", "threads", "no_xattrs"]
    )]
    fsimage: Option<PathBuf>,
    /// Make this many packages, with a number behind their names, in the directory --out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    clones: Option<u32>,
    /// Bill of materials (CycloneDX or SPDX, as JSON): it is put into the image, and its SHA-256 into
    /// the manifest
    #[arg(long, value_name = "FILE")]
    sbom: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<()> {
    let job = Job {
        manifest: packing::read_manifest(&arguments.manifest_path)?,
        root: arguments.root.as_deref(),
        key: arguments.key.as_deref(),
        image: &arguments.image,
        fsimage: arguments.fsimage.as_deref(),
        clones: arguments.clones,
        sbom: arguments.sbom.as_deref(),
        out: &arguments.out,
    };
    for packed in job.run()? {
        output.line(packed.path.display())?;
    }
    Ok(())
}
