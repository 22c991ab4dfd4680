//! northstar
fn main() {}
