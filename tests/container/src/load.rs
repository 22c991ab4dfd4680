//! Too much of something: lines, bytes, processes.

use std::{
    env, io,
    io::Write,
    process::{Child, Command, Stdio},
};

use crate::{Answer, done, number, wait};

pub fn run(words: &[&str]) -> Answer {
    match words {
        ["flood", lines] => {
            for line in 0..number::<u64>(lines)? {
                println!("line {line}");
            }
        }
        ["bytes", hexadecimal] => bytes(hexadecimal)?,
        ["long-line", length] => long_line(number(length)?)?,
        ["fork-children", count] => fork_children(number(count)?)?,
        ["fork-bomb"] => fork_bomb()?,
        _ => return Ok(None),
    }
    done()
}

/// Writes bytes that no manifest could hold, as one line.
fn bytes(hexadecimal: &str) -> io::Result<()> {
    let digits = hexadecimal.as_bytes();
    let mut line = digits
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).map_err(io::Error::other)?;
            u8::from_str_radix(pair, 16).map_err(io::Error::other)
        })
        .collect::<io::Result<Vec<u8>>>()?;
    line.push(b'\n');
    io::stdout().lock().write_all(&line)
}

fn long_line(bytes: u64) -> io::Result<()> {
    let chunk = [b'x'; 4096];
    let mut left = bytes;
    let mut output = io::stdout().lock();
    while left > 0 {
        let length = left.min(chunk.len() as u64) as usize;
        output.write_all(&chunk[..length])?;
        left -= length as u64;
    }
    output.write_all(b"\nend of the long line\n")
}

/// Starts children until `count` run or the kernel refuses; prints how many there are.
fn fork_children(count: u32) -> io::Result<()> {
    let mut children = Vec::new();
    for _ in 0..count {
        match child("wait") {
            Ok(child) => children.push(child),
            Err(error) => {
                println!("fork error {}", error.raw_os_error().unwrap_or(0));
                break;
            }
        }
    }
    println!("children {}", children.len());
    io::stdout().flush()?;
    wait();
}

/// Every process starts two more of its kind, again and again, whatever becomes of them.
fn fork_bomb() -> io::Result<()> {
    let mut children = Vec::new();
    let mut refused = false;
    println!("bomb");
    loop {
        match child("fork-bomb") {
            Ok(child) => children.push(child),
            Err(error) if !refused => {
                refused = true;
                println!("fork error {}", error.raw_os_error().unwrap_or(0));
                io::stdout().flush()?;
            }
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(1)),
        }
    }
}

fn child(command: &str) -> io::Result<Child> {
    let mut child = Command::new(env::current_exe()?);
    child.arg(command).stdout(Stdio::null()).spawn()
}
