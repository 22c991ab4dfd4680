//! Making the squashfs image, by one packer or another, and reading it back.

use std::fs::File;
use std::path::Path;

use super::{PackError, PackOptions, Packer, Warning};
use crate::package::Image;
use crate::progress::{Counter, Stage};
use crate::squashfs::{
    self, Attributes, BlockSize, Expected, Mksquashfs, Order, Scan, Tree, Xattrs, foreign,
};

/// A squashfs image in a file without a name.
pub(super) struct Squashfs {
    pub file: File,
    /// Its size in bytes, a multiple of 4096.
    pub size: u64,
    /// What is in it, unless it was made elsewhere.
    content: Option<(Tree, Attributes)>,
}

/// Makes the image; `scratch` is a directory with room for it.
pub(super) fn make(
    options: &PackOptions<'_>,
    scratch: &Path,
    warnings: &mut Vec<Warning>,
) -> Result<Squashfs, PackError> {
    let failed = |source| PackError::Write {
        path: scratch.to_owned(),
        source,
    };
    if let Packer::Image { path } = options.packer {
        if options.root.is_some() || !options.extra.is_empty() {
            return Err(PackError::ImageAndTree);
        }
        let file = tempfile::tempfile_in(scratch).map_err(failed)?;
        return copy(options, path, file);
    }
    let block_size = BlockSize::new(options.block_size)?;
    let tree = tree(options, warnings)?;
    let attributes = Attributes {
        uid: options.manifest.uid,
        gid: options.manifest.gid,
        mtime: options.mtime,
    };
    let counter = Counter::new(options.progress, Stage::Image, tree.size());
    let (file, size) = match options.packer {
        Packer::Mksquashfs { program, threads } => {
            let order = Order {
                root: options.root,
                tree: &tree,
                attributes,
                compression: options.compression,
                block_size,
                xattrs: options.xattrs,
            };
            Mksquashfs { program, threads }.write(order, scratch)?
        }
        _ => {
            let file = tempfile::tempfile_in(scratch).map_err(failed)?;
            let blocks = (options.compression, block_size);
            let size = squashfs::write(&tree, attributes, blocks, &file, &counter)?;
            (file, size)
        }
    };
    counter.finish();
    Ok(Squashfs {
        file,
        size,
        content: Some((tree, attributes)),
    })
}

/// Copies an image that was made elsewhere.
fn copy(options: &PackOptions<'_>, path: &Path, file: File) -> Result<Squashfs, PackError> {
    let size = path.metadata().map_or(0, |metadata| metadata.len());
    let counter = Counter::new(options.progress, Stage::Image, size);
    let size = foreign::copy(path, &file, &counter)?;
    counter.finish();
    Ok(Squashfs {
        file,
        size,
        content: None,
    })
}

/// What goes into the image.
fn tree(options: &PackOptions<'_>, warnings: &mut Vec<Warning>) -> Result<Tree, PackError> {
    let counter = Counter::new(options.progress, Stage::Scan, 0);
    let keeps_xattrs = matches!(options.packer, Packer::Mksquashfs { .. });
    let scan = Scan {
        xattrs: match options.xattrs {
            Xattrs::Refuse if keeps_xattrs => None,
            policy => Some(policy),
        },
        warnings,
        counter: &counter,
    };
    let mut tree = match options.root {
        Some(root) => Tree::read(root, scan)?,
        None => Tree::empty(),
    };
    for (path, content) in options.extra {
        tree.add_file(path, content)?;
    }
    tree.add_mount_points(options.manifest)?;
    counter.finish();
    Ok(tree)
}

impl Squashfs {
    /// Reads all of the image in a finished package, and compares it with what was to be in it.
    pub(super) fn check(
        &self,
        file: &File,
        image: &Image,
        options: &PackOptions<'_>,
    ) -> Result<(), PackError> {
        let total = match &self.content {
            Some((tree, _)) => tree.size_of_names(),
            None => 0,
        };
        let counter = Counter::new(options.progress, Stage::Check, total);
        match &self.content {
            Some((tree, attributes)) => {
                let expected = Expected {
                    tree,
                    attributes: *attributes,
                };
                squashfs::check(file, image, expected, &counter)?;
            }
            None => foreign::check(file, image, options.manifest, &counter)?,
        }
        counter.finish();
        Ok(())
    }
}
