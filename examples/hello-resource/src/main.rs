//! Prints the message of the resource mounted on /message.

use std::{fs, io};

fn main() -> io::Result<()> {
    print!("{}", fs::read_to_string("/message/hello")?);
    Ok(())
}
