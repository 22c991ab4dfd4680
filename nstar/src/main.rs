//! nstar
fn main() {}
