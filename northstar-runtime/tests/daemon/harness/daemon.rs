//! A daemon that runs, and how it ended.

use super::{Console, PATIENCE, eventually};
use nix::sys::signal::Signal;
use std::{
    fs,
    io::Read,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// A running daemon. A test that fails kills it.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    socket: PathBuf,
    stdout: std::thread::JoinHandle<String>,
    stderr: std::thread::JoinHandle<String>,
}

/// What a daemon left of itself.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Daemon {
    /// Waits until it answers at `socket`.
    pub(super) fn spawn(mut command: Command, socket: PathBuf) -> Daemon {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        eventually("console", || UnixStream::connect(&socket).ok());
        Daemon {
            child,
            socket,
            stdout,
            stderr,
        }
    }

    pub fn pid(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    pub fn console(&self) -> Console {
        Console::connect(&self.socket)
    }

    pub fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// The forker: the only child.
    pub fn forker(&self) -> i32 {
        let children = format!("/proc/{0}/task/{0}/children", self.pid());
        fs::read_to_string(children)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }

    pub fn wait(mut self) -> Ended {
        let status = eventually("the end of the daemon", || self.child.try_wait().unwrap());
        let stdout = std::mem::replace(&mut self.stdout, std::thread::spawn(String::new));
        let stderr = std::mem::replace(&mut self.stderr, std::thread::spawn(String::new));
        Ended {
            status,
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        }
    }

    /// Number of open descriptors, mounts and threads.
    pub fn counts(&self) -> (usize, usize) {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count();
        let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", self.pid())).unwrap();
        (descriptors, mounts.lines().count())
    }
}

impl Drop for Daemon {
    /// Ends the daemon as an operator would, so that tests that do not look at the end leave nothing either.
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.pid());
        let deadline = Instant::now() + PATIENCE;
        while let Ok(None) = self.child.try_wait() {
            let signal = if Instant::now() < deadline {
                Signal::SIGTERM
            } else {
                Signal::SIGKILL
            };
            let _ = nix::sys::signal::kill(pid, signal);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn collect(mut stream: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    })
}
