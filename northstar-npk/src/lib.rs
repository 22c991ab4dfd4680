//! The NPK package format: a signed archive with a manifest and a squashfs image.
//!
//! [`Package::open`] answers, with constant work, whether a file is a package that a key vouches
//! for, and where its image is. [`verity`] checks images against their signed root hash, [`pack`]
//! makes packages and [`unpack`] takes them apart. Nothing in here needs an async runtime, and all
//! reading is by position, so one open file serves any number of threads.
//!
//! What arrives is not trusted: sizes are checked before anything is allocated, the archive is
//! accepted in one canonical form only, and the signature is checked before what it vouches for
//! is parsed.

pub mod archive;
mod checksum;
pub mod key;
pub mod limits;
pub mod pack;
mod package;
mod parallel;
pub mod progress;
mod section;
pub mod sign;
pub mod signature;
pub mod squashfs;
mod staging;
mod stream;
pub mod unpack;
pub mod verity;
pub mod version;

pub use package::{Image, OpenError, Package};
pub use stream::StreamVerifier;
