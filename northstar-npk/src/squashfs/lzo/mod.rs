//! LZO1X, read and written.
//!
//! There is no description of the format by its author; this follows
//! `Documentation/staging/lzo.rst` of the kernel. No public crate is used: those with a free
//! licence trust their input or work on raw pointers. The run-length extension, which squashfs does
//! not use, is left out.

mod compress;
mod decompress;

pub(super) use compress::compress;
pub(super) use decompress::decompress;
