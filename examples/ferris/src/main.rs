//! Has the crab say its arguments.

use std::env;

const CRAB: &str = r"
        \
         \
            _~^~^~_
        \) /  o o  \ (/
          '_   -   _'
          / '-----' \
";

fn main() {
    let words = env::args().skip(1).collect::<Vec<_>>().join(" ");
    let rule = "-".repeat(words.chars().count() + 2);
    println!(" {rule}\n< {words} >\n {rule}{}", CRAB.trim_end());
}
