//! Output of containers: from their pipes to the log, line by line, or to the daemon's own output.
//!
//! A container never gets a descriptor of the host's terminal and never fills the daemon's memory: of each stream at
//! most one read buffer and one line are held, lines beyond the rate limit are dropped and counted.

mod limit;
mod outlet;
mod split;
pub mod writer;

use limit::{Dropped, Limit};
use northstar_manifest::Container;
use outlet::Outlet;
use rustix::pipe::{PipeFlags, pipe_with};
use split::{Splitter, escape};
use std::{
    fmt, io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver, task::JoinHandle};
use tracing::{info, warn};

/// Bytes read from a pipe at once.
const READ_BUFFER: usize = 16 * 1024;

/// Which output of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        })
    }
}

/// The readers of one container's outputs.
#[derive(Debug, Default)]
pub struct Readers {
    tasks: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Makes a pipe whose lines go to the log. Returns the write end for the container.
    ///
    /// Must be called within the tokio runtime. Fails when descriptors run out (pipe(2)).
    pub fn log(&mut self, container: &Container, stream: Stream) -> io::Result<OwnedFd> {
        let (receiver, write) = pipe()?;
        self.tasks
            .push(tokio::spawn(log(receiver, container.clone(), stream)));
        Ok(write)
    }

    /// Makes a pipe whose bytes go to the same stream of the daemon. Returns the write end for the container.
    ///
    /// Must be called within the tokio runtime. Fails when descriptors or threads run out (pipe(2), pthread_create(3)).
    pub fn inherit(&mut self, stream: Stream) -> io::Result<OwnedFd> {
        let (receiver, write) = pipe()?;
        let outlet = Outlet::of(stream)?;
        self.tasks.push(tokio::spawn(copy(receiver, outlet)));
        Ok(write)
    }

    /// Waits until everything written by the container was read. All processes of the container must be dead;
    /// what somebody else keeps open is cut off after `limit`.
    pub async fn drain(self, limit: Duration) {
        let deadline = tokio::time::Instant::now() + limit;
        for mut task in self.tasks {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

fn pipe() -> io::Result<(Receiver, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((Receiver::from_owned_fd(read)?, write))
}

async fn log(mut receiver: Receiver, container: Container, stream: Stream) {
    let mut buffer = vec![0; READ_BUFFER];
    let mut splitter = Splitter::default();
    let mut limit = Limit::new(Instant::now());
    // An error of a pipe can only mean that nothing more will come.
    while let Ok(length @ 1..) = receiver.read(&mut buffer).await {
        let now = Instant::now();
        splitter.push(buffer.get(..length).unwrap_or_default(), |line| {
            if limit.admit(line.len(), now) {
                info!("{container} {stream} {}", escape(line));
            }
        });
        if let Some(dropped) = limit.report(now) {
            warn_dropped(&container, stream, dropped);
        }
        // A container that writes without pause must not keep this worker from the others.
        tokio::task::yield_now().await;
    }
    let now = Instant::now();
    splitter.finish(|line| {
        if limit.admit(line.len(), now) {
            info!("{container} {stream} {}", escape(line));
        }
    });
    if let Some(dropped) = limit.take(now) {
        warn_dropped(&container, stream, dropped);
    }
}

fn warn_dropped(container: &Container, stream: Stream, dropped: Dropped) {
    warn!(
        "{container} writes too fast to {stream}: dropped {} lines with {} bytes",
        dropped.lines, dropped.bytes
    );
}

async fn copy(mut receiver: Receiver, output: Outlet) {
    let mut buffer = vec![0; READ_BUFFER];
    let mut open = true;
    while let Ok(length @ 1..) = receiver.read(&mut buffer).await {
        // When nobody reads the daemon's output the container goes on, unheard.
        if open {
            let bytes = buffer.get(..length).unwrap_or_default();
            open = output.write(bytes).await.is_ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::File,
        io::{Read, Write},
    };

    #[tokio::test]
    async fn drain_waits_for_the_last_writer() {
        let mut readers = Readers::default();
        let container: Container = "a:1.0.0".parse().unwrap();
        let mut write = File::from(readers.log(&container, Stream::Stdout).unwrap());
        let writer = std::thread::spawn(move || {
            for _ in 0..100 {
                write.write_all(&[b'x'; 4096]).unwrap();
            }
        });
        let started = Instant::now();
        readers.drain(Duration::from_secs(20)).await;
        assert!(writer.is_finished() || started.elapsed() < Duration::from_secs(20));
        writer.join().unwrap();
    }

    #[tokio::test]
    async fn drain_gives_up_on_a_pipe_that_stays_open() {
        let mut readers = Readers::default();
        let container: Container = "a:1.0.0".parse().unwrap();
        let write = readers.log(&container, Stream::Stderr).unwrap();
        let started = Instant::now();
        readers.drain(Duration::from_millis(50)).await;
        assert!(started.elapsed() >= Duration::from_millis(50));
        drop(write);
    }

    #[tokio::test]
    async fn copied_bytes_are_the_same_bytes() {
        let (receiver, write) = pipe().unwrap();
        let (mut reader, output) = std::io::pipe().unwrap();
        let bytes = b"raw \x1b bytes\nwithout end".to_vec();
        let sent = bytes.clone();
        let writer = std::thread::spawn(move || File::from(write).write_all(&sent).unwrap());
        copy(receiver, Outlet::new(output).unwrap()).await;
        writer.join().unwrap();
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
    }

    #[tokio::test]
    async fn container_goes_on_when_nobody_reads() {
        let (receiver, write) = pipe().unwrap();
        let (reader, output) = std::io::pipe().unwrap();
        drop(reader);
        // More than the pipe holds: it is written only if somebody reads the other end.
        let writer = std::thread::spawn(move || File::from(write).write_all(&[b'x'; 1 << 20]));
        copy(receiver, Outlet::new(output).unwrap()).await;
        assert!(writer.join().unwrap().is_ok());
    }
}
