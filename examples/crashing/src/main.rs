//! Aborts after a moment, which ends it by SIGABRT.

use std::{process, thread, time::Duration};

fn main() {
    println!("crashing in 100 ms");
    thread::sleep(Duration::from_millis(100));
    eprintln!("crashing now");
    process::abort();
}
