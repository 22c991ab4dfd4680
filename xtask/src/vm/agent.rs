//! The guest's side: runs one command and reports its output and its status.
//!
//! The command gets pipes, not the serial port itself: a virtio port can be opened only once, which
//! would make `/dev/stdout` fail in the command.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::channel::{PORT, Record, Request};

/// How long output is awaited after the end of the command: a process it left behind may hold its
/// pipes for ever.
const DRAIN: Duration = Duration::from_secs(2);

/// The port as seen by the threads that write to it.
#[derive(Clone)]
struct Output(Arc<Mutex<File>>);

impl Output {
    fn send(&self, record: &Record) -> io::Result<()> {
        record.write(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Serves one request, then returns to init.sh, which powers the guest off.
///
/// # Errors
/// The port is missing or breaks.
pub fn main() -> Result<ExitCode> {
    let mut input = open_port()?;
    let output = Output(Arc::new(Mutex::new(input.try_clone()?)));
    output.send(&Record::Ready)?;
    let Record::Run(request) = Record::read(&mut input)? else {
        bail!("the host sent something else than a request");
    };
    let request: Request = serde_json::from_slice(&request).context("cannot read the request")?;
    let confirmed = listen(input);

    let code = match start(&request) {
        Ok(child) => attend(child, &output)?,
        Err(error) => {
            let message = format!("cannot run {:?}: {error}\n", request.command);
            output.send(&Record::Stderr(message.into_bytes()))?;
            127
        }
    };
    output.send(&Record::Exit(code))?;
    confirmed.recv().context("the host is gone")?;
    Ok(ExitCode::SUCCESS)
}

/// Waits for the host on a thread of its own. A host that goes away ends this process, and so the guest.
fn listen(mut input: File) -> mpsc::Receiver<()> {
    let (done, confirmed) = mpsc::channel();
    thread::spawn(move || {
        if let Ok(Record::Done) = Record::read(&mut input) {
            let _ = done.send(());
        } else {
            std::process::exit(1);
        }
    });
    confirmed
}

fn start(request: &Request) -> io::Result<Child> {
    let [program, arguments @ ..] = request.command.as_slice() else {
        return Err(io::Error::other("the request names no program"));
    };
    Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(
            request
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .current_dir(&request.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Passes the output on until the command has ended and its pipes are empty.
fn attend(mut child: Child, output: &Output) -> Result<i32> {
    let (closed, drained) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        pump(stdout, Record::Stdout, output.clone(), closed.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        pump(stderr, Record::Stderr, output.clone(), closed);
    }
    let status = child.wait().context("cannot wait for the command")?;
    // One message per stream; a timeout leaves behind what is still to come.
    for _stream in 0..2 {
        if drained.recv_timeout(DRAIN).is_err() {
            break;
        }
    }
    Ok(exit_code(status))
}

fn pump(
    mut pipe: impl Read + Send + 'static,
    record: fn(Vec<u8>) -> Record,
    output: Output,
    closed: mpsc::Sender<()>,
) {
    thread::spawn(move || {
        let mut buffer = vec![0; 32 * 1024];
        while let Ok(length) = pipe.read(&mut buffer) {
            let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            if output.send(&record(bytes.to_vec())).is_err() {
                break;
            }
        }
        let _ = closed.send(());
    });
}

/// The exit code, or as a shell says it, 128 plus the number of the signal.
fn exit_code(status: ExitStatus) -> i32 {
    status
        .code()
        .or(status.signal().map(|signal| signal.saturating_add(128)))
        .unwrap_or(255)
}

/// The device of the port with our name: sysfs lists `/sys/class/virtio-ports/DEVICE/name`.
fn open_port() -> Result<File> {
    let ports = "/sys/class/virtio-ports";
    for entry in fs::read_dir(ports).with_context(|| format!("cannot list {ports}"))? {
        let entry = entry?;
        if fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim() == PORT) {
            let device = std::path::Path::new("/dev").join(entry.file_name());
            return OpenOptions::new()
                .read(true)
                .write(true)
                .open(&device)
                .with_context(|| format!("cannot open {}", device.display()));
        }
    }
    bail!("no serial port is named {PORT}: this command is for the guest of `cargo xtask vm`")
}
