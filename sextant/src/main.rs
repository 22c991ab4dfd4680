//! sextant
fn main() {}
