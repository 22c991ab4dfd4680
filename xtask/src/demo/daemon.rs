//! The daemon of the demonstration: started, its log shown as it appears, ended at the latest when dropped.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// A running daemon.
pub struct Daemon {
    child: Child,
    lines: Receiver<String>,
}

impl Daemon {
    /// Starts the daemon; every line of its log is shown with a bar in front.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(program: &Path, configuration: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .arg("--config")
            .arg(configuration)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let log = child.stderr.take().context("the daemon has no stderr")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                println!("    | {line}");
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails if the daemon has ended.
    ///
    /// # Errors
    /// It has, with this status.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the daemon has ended: {status}"),
        }
    }

    /// Forgets the lines that have been shown so far.
    pub fn forget_lines(&self) {
        while self.lines.try_recv().is_ok() {}
    }

    /// Waits until a line of the log contains this.
    ///
    /// # Errors
    /// None did within the time limit.
    pub fn await_line(&self, what: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(what) => return Ok(()),
                Ok(_) => {}
                Err(_) => bail!(
                    "{what:?} did not appear in the log within {} s",
                    limit.as_secs()
                ),
            }
        }
    }

    /// Waits for the daemon's end.
    ///
    /// # Errors
    /// It still runs after the time limit.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!(
                    "the daemon still runs {} s after it was told to stop",
                    limit.as_secs()
                );
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
