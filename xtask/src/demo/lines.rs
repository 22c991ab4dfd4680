//! The output of a program that goes on running: shown as it appears, and waited for.

use std::{
    io::{BufRead, BufReader, Read},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// The lines that have been shown and not yet been looked at.
pub struct Lines(Receiver<String>);

impl Lines {
    /// Shows every line with a mark in front of it, on a thread that ends with the output.
    pub fn show(output: impl Read + Send + 'static, mark: &'static str) -> Self {
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                println!("    {mark} {line}");
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self(lines)
    }

    /// Forgets the lines that have been shown so far.
    pub fn forget(&self) {
        while self.0.try_recv().is_ok() {}
    }

    /// Waits until a line contains all of this.
    ///
    /// # Errors
    /// None did within the time limit, or before the output ended.
    pub fn wait_for(&self, words: &[&str], limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.0.recv_timeout(left) {
                Ok(line) if words.iter().all(|word| line.contains(word)) => return Ok(()),
                Ok(_) => {}
                Err(_) => bail!(
                    "no line with {words:?} appeared within {} s",
                    limit.as_secs()
                ),
            }
        }
    }
}
