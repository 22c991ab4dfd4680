//! Who makes the image.

use std::num::NonZeroUsize;
use std::path::Path;

/// Who makes the image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Packer<'a> {
    /// This crate, which needs nothing on the machine. Equal input gives equal bytes everywhere.
    #[default]
    Builtin,
    /// The program `mksquashfs`, version 4.4 or later.
    ///
    /// It keeps hard links, and extended attributes unless they are to be dropped. The bytes
    /// depend on its version.
    Mksquashfs {
        /// The program; without it `mksquashfs` is searched for in `PATH`.
        program: Option<&'a Path>,
        /// How many threads it uses; without it as many as there are cores.
        threads: Option<NonZeroUsize>,
    },
    /// An image that exists.
    ///
    /// It is taken as it is, with owners, times, compression and block size, and has to have the
    /// mount points of the manifest. There is neither a directory to pack nor an additional file.
    Image {
        /// The image; what comes after its end has to be zeros.
        path: &'a Path,
    },
}
