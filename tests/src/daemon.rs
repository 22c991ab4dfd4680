//! The daemon as a child process of a test.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Console, Residue, Site, eventually, programs,
    residue::{self, DevicesBefore, Tracked},
    stuck,
    wait::{PATIENCE, eventually_or},
};

/// An output stream of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A running daemon. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    reader: Option<JoinHandle<()>>,
    lines: Arc<Mutex<Vec<String>>>,
    socket: PathBuf,
    tracked: Tracked,
}

impl Daemon {
    /// Starts the daemon through `launcher`, a command that executes its remaining arguments; none if empty.
    pub(crate) fn start(site: &Site, launcher: &[&str]) -> Self {
        let configuration = site.write_configuration();
        let before = DevicesBefore::record();
        let northstar = &programs().northstar;
        let mut command = match launcher {
            [] => Command::new(northstar),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(northstar);
                command
            }
        };
        let mut child = command
            .arg("--config")
            .arg(configuration)
            .env("RUST_LOG", "info")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("northstar runs");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().expect("stderr is a pipe");
        let reader = std::thread::spawn({
            let lines = Arc::clone(&lines);
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    lock(&lines).push(line);
                }
            }
        });
        let mut daemon = Self {
            tracked: Tracked {
                processes: Default::default(),
                directory: site.path().to_owned(),
                control_group: site.control_group().to_owned(),
                before,
            },
            child,
            reader: Some(reader),
            lines,
            socket: site.socket(),
        };
        daemon.wait_until_ready();
        daemon
    }

    fn wait_until_ready(&mut self) {
        let Self {
            child,
            socket,
            lines,
            ..
        } = self;
        let pid = child.id();
        let connected = || {
            if let Some(status) = child.try_wait().expect("the daemon can be waited for") {
                panic!("northstar ended with {status}:\n{}", lock(lines).join("\n"));
            }
            std::os::unix::net::UnixStream::connect(&*socket).ok()
        };
        eventually_or(connected, || {
            let log = lock(lines).join("\n");
            let threads = stuck::threads_below(pid);
            format!("waited in vain for the console:\n{log}\n{threads}")
        });
    }

    /// A new console connection.
    #[must_use]
    pub fn console(&self) -> Console {
        Console::connect(&self.socket)
    }

    /// The daemon's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id fits")
    }

    /// The URL for `nstar --url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Lines that a container has written so far.
    #[must_use]
    pub fn output(&self, container: &str, stream: Stream) -> Vec<String> {
        let stream = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let tag = format!(" {container} {stream} ");
        lock(&self.lines)
            .iter()
            .filter_map(|line| line.split_once(&tag))
            .map(|(_, text)| text.to_owned())
            .collect()
    }

    /// Waits until a container has written a line to standard output for which `wanted` holds, and returns it.
    ///
    /// # Panics
    /// If there is no such line in time.
    pub fn expect_output(&self, container: &str, wanted: impl Fn(&str) -> bool) -> String {
        eventually("a line of output", || {
            self.output(container, Stream::Stdout)
                .into_iter()
                .find(|line| wanted(line))
        })
    }

    /// Waits until a container has written its last line and returns all lines of its standard output before that.
    ///
    /// # Panics
    /// If the end of the output does not come.
    pub fn complete_output(&self, container: &str) -> Vec<String> {
        self.output_of_run(container, 0)
    }

    /// As [`Daemon::complete_output`], for a container that runs more than once: runs are counted from 0, and each one
    /// has to have come to its last line.
    ///
    /// # Panics
    /// If the end of the output does not come.
    pub fn output_of_run(&self, container: &str, run: usize) -> Vec<String> {
        const LAST: &str = "end of output";
        eventually("the end of the output", || {
            let lines = self.output(container, Stream::Stdout);
            let runs: Vec<&[String]> = lines.split(|line| line == LAST).collect();
            // Behind the last end is what comes next.
            let (_, complete) = runs.split_last()?;
            complete.get(run).map(|lines| lines.to_vec())
        })
    }

    /// What the daemon has written, for the message of a failed assertion.
    #[must_use]
    pub fn log(&self) -> String {
        lock(&self.lines).join("\n")
    }

    /// Everything that belongs to the daemon now.
    #[must_use]
    pub fn track(&self) -> Tracked {
        Tracked {
            processes: residue::process_tree(self.pid()),
            ..self.tracked.clone()
        }
    }

    /// Mount points of the daemon's own mount namespace that lie below the site.
    #[must_use]
    pub fn mounts(&self) -> Vec<PathBuf> {
        let mountinfo = PathBuf::from(format!("/proc/{}/mountinfo", self.pid()));
        residue::mounts_below(&mountinfo, &self.tracked.directory)
    }

    /// Sends a signal to the daemon.
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("the daemon runs");
    }

    /// True if the daemon has not ended.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("the daemon can be waited for")
            .is_none()
    }

    /// Waits for the end of the daemon.
    ///
    /// # Panics
    /// If it does not end.
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the end of the daemon", || {
            child.try_wait().expect("the daemon can be waited for")
        })
    }

    /// Ends the daemon with SIGTERM and asserts that it ends well and leaves nothing behind.
    ///
    /// # Panics
    /// If it does not.
    pub fn stop(mut self) {
        let tracked = self.track();
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        assert!(
            status.success(),
            "northstar ended with {status}:\n{}",
            self.log()
        );
        assert_eq!(
            tracked.settle(PATIENCE),
            Residue::default(),
            "{}",
            self.log()
        );
    }

    /// Kills the daemon with SIGKILL and returns what belonged to it.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(mut self) -> Tracked {
        let tracked = self.track();
        self.signal(Signal::SIGKILL);
        let status = self.wait();
        assert_eq!(status.signal(), Some(9));
        tracked
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A failed test must not leave its daemon behind; the daemon may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn lock(lines: &Mutex<Vec<String>>) -> std::sync::MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
