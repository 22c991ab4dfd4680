//! The program inside the containers of the end-to-end tests: it does what its arguments say and reports on
//! standard output, one fact a line.
//!
//! | module | commands |
//! |---|---|
//! | `commands` | read, write, wait, end |
//! | `load` | too many lines, processes, bytes |
//! | `sockets` | the sockets of the manifest |
//! | `escape` | the classic ways out of a container |
//! | `probe` | everything that a container can see and may do |

mod commands;
mod escape;
mod load;
mod probe;
mod sockets;

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
};

const USAGE: &str = "exit N | print WORD.. | wait | sleep SECONDS | ignore-term | crash | cat PATH.. | write PATH TEXT | \
     touch PATH | inspect | identity | mounts | descriptors | environment | read-tree DIR | list DIR | orphan | \
     flood LINES | flood-from WORD LINES | bytes HEX | long-line BYTES | fork-children N | fork-bomb | sockets | send-abstract NAME | \
     call-delete-module NAME | kill-all | attach-init | chroot-escape | overwrite PATH.. | open-by-handle DIRECTORY | release-agent | execute PATH ARGUMENT.. | directory | probe";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let code = run(&words).unwrap_or_else(|error| {
        println!("error {error}");
        ExitCode::from(99)
    });
    // The log is written by another process: this line tells a reader that nothing more will come.
    println!("end of output");
    code
}

fn run(words: &[&str]) -> io::Result<ExitCode> {
    let handlers = [
        commands::run,
        load::run,
        sockets::run,
        escape::run,
        probe::run,
    ];
    for handler in handlers {
        if let Some(code) = handler(words)? {
            io::stdout().flush()?;
            return Ok(code);
        }
    }
    println!("usage: {USAGE}");
    Ok(ExitCode::from(2))
}

/// What a group of commands answers: nothing if the words are none of its commands.
type Answer = io::Result<Option<ExitCode>>;

/// The answer of a command that has done its work.
fn done() -> Answer {
    Ok(Some(ExitCode::SUCCESS))
}

/// A number among the arguments.
fn number<N: std::str::FromStr>(word: &str) -> io::Result<N>
where
    N::Err: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    word.parse().map_err(io::Error::other)
}

/// Prints `PATH TEXT`, or `PATH error ERRNO` so that a test can tell EIO from EACCES.
fn report(path: &str, result: io::Result<String>) -> io::Result<()> {
    match result {
        Ok(text) => println!("{path} {}", text.trim_end()),
        Err(error) => println!("{path} error {}", error.raw_os_error().unwrap_or(0)),
    }
    io::stdout().flush()
}

/// Sleeps until the end of the container.
fn wait() -> ! {
    println!("waiting");
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}
