//! The daemon of the demonstration: started, its log shown as it appears, ended at the latest when dropped.

use std::{
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::lines::Lines;

/// A running daemon.
pub struct Daemon {
    child: Child,
    /// Its log.
    pub log: Lines,
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
        let log = Lines::show(log, "|");
        Ok(Self { child, log })
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
