//! Hostile input for everything that reads what others wrote.
//!
//! A [`Target`] is a function that takes any bytes and panics if the code under test does what it
//! must not: panic, allocate beyond its limits, or give an answer that an independent computation
//! does not give. Two drivers run it: the tests of this crate, briefly and always in the same way,
//! over the corpus and changes of it; and libFuzzer in the package `libfuzzer`, for as long as one likes.
//!
//! Most targets do not take their input for the bytes of a file but for a recipe of one: checksums,
//! hashes and signatures come out right unless the recipe says otherwise, so that what lies
//! behind them is reached.

pub mod forge;
pub mod keys;
pub mod memory;
pub mod mutate;
pub mod random;
pub mod recipe;
pub mod scratch;
pub mod targets;

// The machine that the sandbox runs its filters on in its own tests; it finds what it needs in `seccomp`.
#[cfg(feature = "daemon")]
#[allow(missing_docs)]
#[path = "../../northstar-sandbox/src/seccomp/tests/interpreter.rs"]
pub mod interpreter;
#[cfg(feature = "daemon")]
use northstar_sandbox::seccomp;

pub use targets::{ALL, Target};
