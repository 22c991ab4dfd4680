//! Counts its runs in a file of the persistent folder.

use std::{
    fs, io,
    io::{ErrorKind, Write},
};

const COUNT: &str = "/data/count";
const NEW: &str = "/data/count.new";

fn main() -> io::Result<()> {
    let count: u64 = match fs::read_to_string(COUNT) {
        Ok(text) => text.trim().parse().map_err(io::Error::other)?,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let count = count.saturating_add(1);
    // Written aside and renamed: an end in between leaves the old number.
    let mut file = fs::File::create(NEW)?;
    writeln!(file, "{count}")?;
    file.sync_all()?;
    fs::rename(NEW, COUNT)?;
    println!("this is run {count}");
    Ok(())
}
