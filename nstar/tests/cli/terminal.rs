//! A terminal with the program behind it.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use nix::{
    pty::{Winsize, openpty},
    sys::{
        signal::{Signal, kill},
        termios::{LocalFlags, tcgetattr},
    },
    unistd::Pid,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A pseudo-terminal, and what its screen would show.
pub struct Terminal {
    master: File,
    /// Kept open, so that what the program wrote last can be read.
    slave: OwnedFd,
    screen: Arc<Mutex<vt100::Parser>>,
    child: Child,
}

impl Terminal {
    /// Runs nstar on a terminal of this size, with the terminal as its controlling one.
    pub fn run(rows: u16, columns: u16, words: &[&str]) -> Terminal {
        Terminal::run_in("C.UTF-8", rows, columns, words)
    }

    /// The same in another locale.
    pub fn run_in(locale: &str, rows: u16, columns: u16, words: &[&str]) -> Terminal {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).unwrap();
        let stdio = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(env!("CARGO_BIN_EXE_nstar"))
            .args(words)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", locale)
            .env_remove("NO_COLOR")
            .env_remove("NSTAR_URL")
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let master = File::from(pty.master);
        thread::spawn({
            let mut master = master.try_clone().unwrap();
            let screen = Arc::clone(&screen);
            move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = master.read(&mut bytes) {
                    screen.lock().unwrap().process(&bytes[..count]);
                }
            }
        });
        Terminal {
            master,
            slave: pty.slave,
            screen,
            child,
        }
    }

    /// The lines of the screen.
    pub fn lines(&self) -> Vec<String> {
        let screen = self.screen.lock().unwrap();
        let columns = screen.screen().size().1;
        screen.screen().rows(0, columns).collect()
    }

    /// Waits until the screen is as wanted.
    pub fn expect(&self, what: &str, wanted: impl Fn(&[String]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(&self.lines()) {
            let screen = self.lines().join("\n");
            assert!(Instant::now() < deadline, "{what} does not come:\n{screen}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until a text is on the screen.
    pub fn expect_text(&self, text: &str) {
        self.expect(text, |lines| lines.iter().any(|line| line.contains(text)));
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Whether the program draws on a screen of its own, without echo and line editing.
    pub fn is_taken(&self) -> bool {
        let flags = tcgetattr(&self.slave).unwrap().local_flags;
        let is_raw = !flags.intersects(LocalFlags::ECHO | LocalFlags::ICANON);
        let is_alternate = self.screen.lock().unwrap().screen().alternate_screen();
        assert_eq!(is_raw, is_alternate, "the terminal is half taken");
        is_raw
    }

    /// Waits until the program has ended, and until its terminal is as it was before.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "nstar does not end");
            thread::sleep(Duration::from_millis(10));
        };
        let flags = tcgetattr(&self.slave).unwrap().local_flags;
        assert!(
            flags.contains(LocalFlags::ECHO | LocalFlags::ICANON),
            "{flags:?}"
        );
        // The last bytes may still be on their way to the reader.
        while self.is_strange() {
            assert!(Instant::now() < deadline, "the screen was not given back");
            thread::sleep(Duration::from_millis(10));
        }
        status
    }

    fn is_strange(&self) -> bool {
        let parser = self.screen.lock().unwrap();
        parser.screen().alternate_screen() || parser.screen().hide_cursor()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A failed test must not leave the program behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
