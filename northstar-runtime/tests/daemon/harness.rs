//! A real daemon on a temporary directory, spoken to line by line.

use nix::sys::signal::Signal;
use northstar_manifest::Manifest;
use northstar_npk::{
    pack::{PackOptions, pack},
    squashfs::Compression,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a test waits for what has to come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `probe` finds something.
#[track_caller]
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A script that does nothing for ever.
pub const SLEEP: &str = "while :; do sleep 1; done";

/// The first child of a process.
pub fn child(pid: i32) -> i32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().next().unwrap().parse().unwrap()
}

/// Directories, packages and a configuration.
#[derive(Debug)]
pub struct Site {
    directory: TempDir,
    /// The daemons of one test program count what is there on the whole machine.
    _turn: Option<File>,
    pub cgroup: String,
    /// More lines of the repository's table.
    pub repository: &'static str,
    pub stop_timeout: &'static str,
}

impl Site {
    pub fn new() -> Site {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let turn = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("turn")).unwrap();
        turn.lock().unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("packages")).unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("northstar-test-{}-{number}", std::process::id());
        Site {
            directory,
            _turn: Some(turn),
            cgroup,
            repository: "",
            stop_timeout: "2s",
        }
    }

    /// Another one, with the same cgroup.
    pub fn neighbour(&self) -> Site {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("packages")).unwrap();
        Site {
            directory,
            _turn: None,
            cgroup: self.cgroup.clone(),
            repository: "",
            stop_timeout: "2s",
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Packs `NAME:0.0.1`, which runs `script` in the host's shell. `more` are further lines of the manifest, `mounts`
    /// of its mounts.
    pub fn shell(&self, name: &str, script: &str, more: &str, mounts: &str) -> String {
        let mut manifest = format!(
            "name: {name}\nversion: 0.0.1\ninit: /bin/sh\nuid: 1000\ngid: 1000\n\
             args: ['-c', {}]\n{more}\nmounts:\n",
            Value::from(script)
        );
        for directory in ["/bin", "/lib", "/lib64", "/usr"] {
            if Path::new(directory).exists() {
                manifest += &format!(
                    "  {directory}: {{type: bind, host: {directory}, options: 'nodev,nosuid'}}\n"
                );
            }
        }
        manifest += "  /dev: {type: dev}\n  /proc: {type: proc}\n";
        self.pack(&(manifest + mounts))
    }

    /// Packs a manifest with nothing but mount points in its image.
    pub fn pack(&self, manifest: &str) -> String {
        let manifest = Manifest::from_yaml(manifest.as_bytes()).unwrap();
        let options = PackOptions {
            manifest: &manifest,
            root: None,
            key: None,
            compression: Compression::None,
            ..PackOptions::new(&manifest)
        };
        pack(&options, &self.path("packages")).unwrap();
        manifest.container().to_string()
    }

    /// Starts the daemon and waits until it answers.
    pub fn daemon(&self) -> Daemon {
        self.daemon_by(self.command())
    }

    /// The same by a command that becomes the daemon.
    pub fn daemon_by(&self, mut command: Command) -> Daemon {
        self.configure();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        let socket = self.path("console");
        eventually("console", || UnixStream::connect(&socket).ok());
        Daemon {
            child,
            socket,
            stdout,
            stderr,
        }
    }

    pub fn configure(&self) {
        let path = |name: &str| self.path(name).display().to_string();
        let config = format!(
            "console = [\"unix://{}\"]\nrun_dir = \"{}\"\ndata_dir = \"{}\"\nlog_dir = \"{}\"\n\
             cgroup = \"{}\"\nstop_timeout = \"{}\"\n[repositories.default]\n\
             type = {{ fs = {{ dir = \"{}\" }} }}\n{}\n",
            path("console"),
            path("run"),
            path("data"),
            path("log"),
            self.cgroup,
            self.stop_timeout,
            path("packages"),
            self.repository,
        );
        fs::write(self.path("northstar.toml"), config).unwrap();
    }

    /// Makes a user the owner of everything, for a daemon that is not root.
    pub fn give_to(&self, user: u32) {
        fn give(path: &Path, user: u32) {
            std::os::unix::fs::lchown(path, Some(user), Some(user)).unwrap();
            if path.is_dir() {
                for entry in fs::read_dir(path).unwrap() {
                    give(&entry.unwrap().path(), user);
                }
            }
        }
        self.configure();
        // A change of owner takes capabilities away from a file.
        for entry in fs::read_dir(self.directory.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name() != Some("northstar".as_ref()) {
                give(&path, user);
            }
        }
        std::os::unix::fs::chown(self.directory.path(), Some(user), Some(user)).unwrap();
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_northstar"));
        command
            .arg("--config")
            .arg(self.path("northstar.toml"))
            .env_remove("RUST_LOG");
        command
    }

    /// What is there of this site on the machine: loop devices, cgroups and mounts.
    pub fn residue(&self) -> BTreeMap<&'static str, Vec<String>> {
        let root = self.directory.path().display().to_string();
        let mut residue = BTreeMap::new();
        let backing = glob("/sys/block", |device| device.join("loop/backing_file"))
            .filter_map(|path| fs::read_to_string(path).ok())
            .filter(|file| file.contains(&root));
        residue.insert("loop devices", backing.collect());
        let cgroups = glob("/sys/fs/cgroup", |hierarchy| hierarchy.join(&self.cgroup))
            .chain([Path::new("/sys/fs/cgroup").join(&self.cgroup)])
            .filter(|path| path.exists())
            .map(|path| path.display().to_string());
        residue.insert("cgroups", cgroups.collect());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = mounts
            .lines()
            .filter(|line| line.contains(&root))
            .map(str::to_owned);
        residue.insert("mounts", mounts.collect());
        residue.retain(|_, found: &mut Vec<String>| !found.is_empty());
        residue
    }
}

fn glob<'a>(
    directory: &str,
    path: impl Fn(PathBuf) -> PathBuf + 'a,
) -> impl Iterator<Item = PathBuf> + 'a {
    fs::read_dir(directory)
        .unwrap()
        .map(move |entry| path(entry.unwrap().path()))
}

fn collect(mut stream: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    })
}

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

/// A client.
#[derive(Debug)]
pub struct Console {
    stream: BufReader<UnixStream>,
    notifications: VecDeque<Value>,
}

impl Console {
    pub fn connect(socket: &Path) -> Console {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut console = Console {
            stream: BufReader::new(stream),
            notifications: VecDeque::new(),
        };
        console.send(&json!({"connect": {"version": "0.9.2", "subscribe_notifications": true}}));
        assert_eq!(console.receive(), Some(json!({"connect_ack": null})));
        console
    }

    fn send(&mut self, message: &Value) {
        self.stream
            .get_mut()
            .write_all(format!("{message}\n").as_bytes())
            .unwrap();
    }

    /// `None` at the end of the connection.
    fn receive(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Asks and returns the answer.
    pub fn request(&mut self, request: Value) -> Value {
        self.send(&json!({ "request": request }));
        self.answer()
    }

    fn answer(&mut self) -> Value {
        loop {
            let mut message = self.receive().expect("the connection ended");
            match message.get_mut("response") {
                Some(response) => return response.take(),
                None => self.notifications.push_back(message["notification"].take()),
            }
        }
    }

    /// Asks for one container: `None` for ok, or the error.
    pub fn ask(&mut self, verb: &str, mut request: Value) -> Option<Value> {
        let answer = self.request(json!({ verb: request.take() }));
        let answer = &answer[verb];
        match answer.get("ok") {
            Some(_) => None,
            None => Some(answer["error"]["error"].clone()),
        }
    }

    pub fn start(&mut self, container: &str) -> Option<Value> {
        self.ask("start", json!({ "container": container }))
    }

    pub fn kill(&mut self, container: &str, signal: i32) -> Option<Value> {
        self.ask("kill", json!({ "container": container, "signal": signal }))
    }

    pub fn umount(&mut self, container: &str) -> Value {
        self.request(json!({"umount": {"containers": [container]}}))["umount"][0].clone()
    }

    pub fn inspect(&mut self, container: &str) -> Value {
        let answer = self.request(json!({"inspect": {"container": container}}));
        answer["inspect"]["ok"]["data"].clone()
    }

    /// The next notification. `None` at the end of the connection.
    pub fn notification(&mut self) -> Option<Value> {
        match self.notifications.pop_front() {
            Some(notification) => Some(notification),
            None => self
                .receive()
                .map(|mut message| message["notification"].take()),
        }
    }

    /// Waits for the end of a container and returns how it ended.
    pub fn exit_of(&mut self, container: &str) -> Value {
        loop {
            let notification = self.notification().expect("the connection ended");
            if notification["exit"][0] == container {
                return notification["exit"][1].clone();
            }
        }
    }
}
