//! Greets once a second until it is told to stop. SIGTERM keeps its default action: the end.

use std::{env, thread, time::Duration};

fn main() {
    let whom = env::var("HELLO").unwrap_or_else(|_| "world".into());
    let container = env::var("NORTHSTAR_CONTAINER").unwrap_or_else(|_| "nowhere".into());
    for count in 1_u64.. {
        println!("Hello {whom} from {container}, {count}");
        thread::sleep(Duration::from_secs(1));
    }
}
