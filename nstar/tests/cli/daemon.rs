//! A daemon that answers as it is told.

use std::{
    fs::File,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// What the daemon does after the handshake.
pub enum Step {
    /// Expects a request and answers it. `$C` stands for `"a:0.0.1"` and `$D` for `"a:0.0.2"`.
    Answer(&'static str, &'static str),
    /// Expects an install and its bytes, and answers it.
    Install(String, &'static [u8], &'static str),
    /// Expects an install, empties the package meanwhile, and takes what comes until the end.
    Truncate(String, PathBuf),
    /// Expects a line.
    Expect(&'static str),
    /// Takes this many raw bytes.
    Take(usize),
    /// Waits for the test.
    Pause(mpsc::Receiver<()>),
    /// Tells the test that it has come this far.
    Tell(mpsc::Sender<()>),
    /// Sends a line.
    Say(&'static str),
    /// Expects that the client closes and sends nothing more.
    End,
    /// Takes everything the client sends and answers nothing until it closes.
    Wait,
}

pub const LIST: Step = Step::Answer(r#""list""#, r#"{"list":[$D,$C,"b:1.0.0"]}"#);

/// The answer to an inspection.
pub fn inspected(container: &'static str, mounted: bool, running: bool) -> Step {
    let version = container.rsplit_once(':').unwrap().1;
    let process = if running {
        r#"{"pid":42,"uptime":61500000000,"statistics":{}}"#
    } else {
        "null"
    };
    let data = format!(
        r#"{{"manifest":{{"name":"a","version":"{version}","init":"/a","uid":1,"gid":1}},"repository":"r","mounted":{mounted},"process":{process}}}"#
    );
    Step::Answer(
        format!(r#"{{"inspect":{{"container":"{container}"}}}}"#).leak(),
        format!(r#"{{"inspect":{{"ok":{{"container":"{container}","data":{data}}}}}}}"#).leak(),
    )
}

fn fill(text: &str) -> String {
    text.replace("$C", r#""a:0.0.1""#)
        .replace("$D", r#""a:0.0.2""#)
}

pub struct Daemon {
    pub dir: TempDir,
    thread: JoinHandle<()>,
}

impl Daemon {
    /// A daemon that takes one connection and follows `steps`.
    pub fn new(steps: Vec<Step>) -> Daemon {
        Daemon::answering(r#"{"connect_ack":null}"#, steps)
    }

    /// A daemon with another answer to the handshake.
    pub fn answering(handshake: &'static str, steps: Vec<Step>) -> Daemon {
        Daemon::greeting(|_| {}, handshake, steps)
    }

    /// A daemon that looks at what the client asks for beyond 0.9.2.
    pub fn asked_for(extensions: Value, handshake: &'static str, steps: Vec<Step>) -> Daemon {
        let check = move |line: &str| {
            let connect: Value = serde_json::from_str(line).unwrap();
            let asked = connect["connect"].get("extensions");
            assert_eq!(asked.unwrap_or(&Value::Null), &extensions);
        };
        Daemon::greeting(check, handshake, steps)
    }

    fn greeting(
        check: impl FnOnce(&str) + Send + 'static,
        handshake: &'static str,
        steps: Vec<Step>,
    ) -> Daemon {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("console")).unwrap();
        let thread = thread::spawn(move || {
            let stream = accept(&listener);
            // A program that does not do what the test expects must not make it wait for ever.
            stream
                .set_read_timeout(Some(Duration::from_secs(30)))
                .unwrap();
            let mut stream = BufReader::new(stream);
            let connect = line(&mut stream);
            assert!(connect.starts_with(r#"{"connect":{"version":"0.9.2""#));
            check(&connect);
            say(&mut stream, handshake);
            steps.into_iter().for_each(|step| follow(&mut stream, step));
        });
        Daemon { dir, thread }
    }

    /// A daemon that nobody is expected to connect to.
    pub fn unused() -> Daemon {
        Daemon {
            dir: tempfile::tempdir().unwrap(),
            thread: thread::spawn(|| {}),
        }
    }

    /// Lets the daemon come to its end.
    pub fn end(self) {
        self.thread.join().unwrap();
    }

    /// The program with the daemon's URL.
    pub fn nstar(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nstar"));
        let url = format!("unix://{}/console", self.dir.path().display());
        command
            .args(["--url", &url])
            .args(words)
            .env_remove("NSTAR_URL")
            .env_remove("NO_COLOR");
        command.stdin(Stdio::null());
        command
    }

    /// Runs the program with something on its standard input.
    pub fn run_with_input(self, words: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .nstar(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        self.finish(output)
    }

    /// Runs the program and lets the daemon come to its end.
    pub fn run(self, words: &[&str]) -> Output {
        let output = self.nstar(words).output().unwrap();
        self.finish(output)
    }

    pub fn finish(self, output: Output) -> Output {
        self.thread
            .join()
            .unwrap_or_else(|_| panic!("the daemon saw something else: {output:?}"));
        output
    }
}

/// The next connection; a program that makes none must not make the test wait for ever.
fn accept(listener: &UnixListener) -> UnixStream {
    listener.set_nonblocking(true).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                return stream;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("no connection: {error}"),
        }
    }
}

fn follow(stream: &mut BufReader<UnixStream>, step: Step) {
    match step {
        Step::Answer(request, response) => {
            let request = fill(request);
            assert_eq!(line(stream), format!(r#"{{"request":{request}}}"#));
            say(stream, &format!(r#"{{"response":{}}}"#, fill(response)));
        }
        Step::Install(request, body, response) => {
            assert_eq!(line(stream), format!(r#"{{"request":{request}}}"#));
            let mut bytes = vec![0; body.len()];
            stream.read_exact(&mut bytes).unwrap();
            assert_eq!(bytes, body);
            say(stream, &format!(r#"{{"response":{}}}"#, fill(response)));
        }
        Step::Truncate(request, path) => {
            assert_eq!(line(stream), format!(r#"{{"request":{request}}}"#));
            File::create(path).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
        }
        Step::Expect(text) => assert_eq!(line(stream), fill(text)),
        Step::Take(count) => stream.read_exact(&mut vec![0; count]).unwrap(),
        Step::Pause(test) => test.recv_timeout(Duration::from_secs(30)).unwrap(),
        Step::Tell(test) => test.send(()).unwrap(),
        Step::Say(text) => say(stream, &fill(text)),
        Step::End => {
            let mut rest = String::new();
            stream.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "");
        }
        Step::Wait => {
            stream.read_to_end(&mut Vec::new()).unwrap();
        }
    }
}

fn line(stream: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn say(stream: &mut BufReader<UnixStream>, line: &str) {
    // The client may have seen enough.
    let _ = stream.get_mut().write_all(format!("{line}\n").as_bytes());
}

/// The acknowledgement of the extension `details`.
pub const DETAILS: &str = r#"{"connect_ack":{"extensions":["details"],"instance":"00","sequence":0,"resumed":false,"limits":{}}}"#;

/// The acknowledgement of everything that a verb asks for which takes its time.
pub const JOBS: &str = r#"{"connect_ack":{"extensions":["ids","jobs","details"],"instance":"00","sequence":0,"resumed":false,"limits":{}}}"#;

pub fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

/// Runs the program against a daemon and expects success.
pub fn ok(words: &[&str], steps: Vec<Step>) -> String {
    let output = Daemon::new(steps).run(words);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
    stdout(&output).to_owned()
}
