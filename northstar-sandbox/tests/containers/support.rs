//! A forker, a root directory with busybox and the probe, and containers made from them.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use northstar_sandbox::plan::{
    ArmPlan, CapabilitySet, DescriptorIndex, ExecPlan, MountFlags, MountKind, MountPlan,
    NetworkPlan,
};
use northstar_sandbox::{
    Control, ExitStatus, Forker, ForkerEvent, InitEvent, ReceiveError, StepError, mount,
};
use rustix::event::{PollFd, PollFlags, Timespec};

/// Longest time anything may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// User and group of payloads.
pub const UID: u32 = 12_345;
pub const GID: u32 = 12_346;

pub const READ_ONLY: MountFlags = MountFlags {
    read_only: true,
    nosuid: true,
    nodev: true,
    noexec: false,
    recursive: false,
};

pub const CLOSED: MountFlags = MountFlags {
    read_only: false,
    noexec: true,
    ..READ_ONLY
};

pub struct World {
    forker: RefCell<Forker>,
    next_id: Cell<u64>,
    /// Events that came while waiting for others.
    exited: RefCell<Vec<(u64, ExitStatus)>>,
    /// Directory that becomes the root of containers.
    pub root: Root,
}

/// The root directory, removed at the end by the process that made it.
pub enum Root {
    Own(tempfile::TempDir),
    Borrowed(PathBuf),
}

impl Root {
    pub fn path(&self) -> &Path {
        match self {
            Root::Own(directory) => directory.path(),
            Root::Borrowed(path) => path,
        }
    }
}

impl World {
    pub fn new() -> World {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests need root"
        );
        let forker = Forker::spawn().expect("the process has one thread");
        let root = tempfile::tempdir().unwrap();
        build_root(root.path());
        World::from_parts(forker, Root::Own(root))
    }

    /// A world in the root directory of another one.
    pub fn with_root(forker: Forker, root: &str) -> World {
        World::from_parts(forker, Root::Borrowed(root.into()))
    }

    fn from_parts(forker: Forker, root: Root) -> World {
        World {
            forker: RefCell::new(forker),
            next_id: Cell::new(1),
            exited: RefCell::default(),
            root,
        }
    }

    pub fn forker(&self) -> std::cell::Ref<'_, Forker> {
        self.forker.borrow()
    }

    /// A detached, read-only mount of the root directory.
    pub fn root_mount(&self) -> OwnedFd {
        clone(self.root.path(), READ_ONLY)
    }

    /// An arm plan with proc, dev and a tmpfs on /tmp; descriptor 0 is the root.
    pub fn arm_plan(&self) -> ArmPlan {
        ArmPlan {
            hostname: None,
            user: None,
            network: NetworkPlan::Private,
            root: DescriptorIndex(0),
            root_flags: READ_ONLY,
            mounts: vec![
                planned(
                    "/proc",
                    MountKind::proc(),
                    MountFlags {
                        noexec: true,
                        ..READ_ONLY
                    },
                ),
                planned(
                    "/dev",
                    MountKind::Dev,
                    MountFlags {
                        read_only: false,
                        nodev: false,
                        ..CLOSED
                    },
                ),
                planned("/tmp", tmpfs(), CLOSED),
            ],
        }
    }

    /// Sends a plan; descriptor 0 is the root.
    pub fn create(&self, plan: &ArmPlan, more: &[BorrowedFd<'_>]) -> (u64, Control) {
        self.create_in(plan, more, None)
    }

    /// The same in a control group.
    pub fn create_in(
        &self,
        plan: &ArmPlan,
        more: &[BorrowedFd<'_>],
        cgroup: Option<BorrowedFd<'_>>,
    ) -> (u64, Control) {
        let id = self.next_id.replace(self.next_id.get() + 1);
        let root = self.root_mount();
        let mut descriptors = vec![root.as_fd()];
        descriptors.extend_from_slice(more);
        let created = self.forker().create(id, plan, &descriptors, cgroup);
        (id, created.unwrap())
    }

    /// Creates an init and waits for what comes of it.
    pub fn try_arm(&self, plan: &ArmPlan, more: &[BorrowedFd<'_>]) -> Result<Armed, StepError> {
        let (id, control) = self.create(plan, more);
        let (pid, pidfd) = self.created(id);
        match event(&control) {
            Ok(InitEvent::Armed) => Ok(Armed {
                id,
                control,
                pid,
                pidfd,
                // With a user namespace there was a process that made it.
                payload: 2 + i32::from(plan.user.is_some()),
            }),
            Ok(InitEvent::Failed(error)) => {
                self.wait_for_exit(id);
                Err(error)
            }
            other => panic!("instead of Armed: {other:?}"),
        }
    }

    pub fn arm(&self) -> Armed {
        self.try_arm(&self.arm_plan(), &[]).unwrap()
    }

    /// Waits for `Created`.
    pub fn created(&self, id: u64) -> (i32, OwnedFd) {
        loop {
            match self.forker_event() {
                ForkerEvent::Created {
                    id: created,
                    pid,
                    pidfd,
                } if created == id => {
                    return (pid, pidfd);
                }
                ForkerEvent::Exited { id, status } => {
                    self.exited.borrow_mut().push((id, status));
                }
                other => panic!("instead of Created: {other:?}"),
            }
        }
    }

    pub fn forker_event(&self) -> ForkerEvent {
        let forker = self.forker();
        wait_readable(forker.as_fd());
        forker.receive().unwrap().expect("it was readable")
    }

    /// Waits until the forker reaped an init.
    pub fn wait_for_exit(&self, id: u64) -> ExitStatus {
        loop {
            let mut exited = self.exited.borrow_mut();
            if let Some(position) = exited.iter().position(|(exited, _)| *exited == id) {
                return exited.remove(position).1;
            }
            match self.forker_event() {
                ForkerEvent::Exited { id, status } => exited.push((id, status)),
                other => panic!("instead of Exited: {other:?}"),
            }
        }
    }

    /// Runs `program` in a container of the usual plan to its end.
    pub fn run(&self, plan: &ExecPlan) -> Result<Finished, StepError> {
        self.run_in(&self.arm_plan(), &[], plan)
    }

    pub fn run_in(
        &self,
        arm: &ArmPlan,
        more: &[BorrowedFd<'_>],
        plan: &ExecPlan,
    ) -> Result<Finished, StepError> {
        let running = self.try_arm(arm, more)?.go(self, plan, &[])?;
        Ok(running.finish(self))
    }

    /// Runs a shell script; what it prints must come with exit code 0.
    pub fn shell(&self, script: &str) -> String {
        self.run(&shell(script)).unwrap().expect_success()
    }
}

/// An armed init.
pub struct Armed {
    pub id: u64,
    pub control: Control,
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// Process id of the payload in the container.
    pub payload: i32,
}

impl Armed {
    /// Runs the payload. Standard output and error go to a pipe; `more` are descriptors 1 and on.
    pub fn go(
        self,
        world: &World,
        plan: &ExecPlan,
        more: &[BorrowedFd<'_>],
    ) -> Result<Running, StepError> {
        self.go_with(world, plan, more, &[])
    }

    /// The same in control groups of version 1.
    pub fn go_with(
        self,
        world: &World,
        plan: &ExecPlan,
        more: &[BorrowedFd<'_>],
        tasks: &[BorrowedFd<'_>],
    ) -> Result<Running, StepError> {
        let (output, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let mut descriptors = vec![end.as_fd()];
        descriptors.extend_from_slice(more);
        self.control.go(plan, &descriptors, tasks).unwrap();
        drop(descriptors);
        drop(end);
        match event(&self.control) {
            Ok(InitEvent::Running { pid }) => {
                assert_eq!(pid, self.payload);
                Ok(Running {
                    init: self,
                    output: output.into(),
                })
            }
            Ok(InitEvent::Failed(error)) => {
                world.wait_for_exit(self.id);
                Err(error)
            }
            other => panic!("instead of Running: {other:?}"),
        }
    }

    pub fn kill(self, world: &World) -> ExitStatus {
        northstar_sys::process::pidfd_send_signal(self.pidfd.as_fd(), 9).unwrap();
        world.wait_for_exit(self.id)
    }
}

/// A payload that was executed.
pub struct Running {
    pub init: Armed,
    pub output: File,
}

impl Running {
    /// Reads one line of output.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            wait_readable(self.output.as_fd());
            match self.output.read(&mut byte).unwrap() {
                1 if byte != *b"\n" => line.push(byte[0]),
                _ => return String::from_utf8(line).unwrap(),
            }
        }
    }

    /// Reads all output and waits for the end.
    pub fn finish(mut self, world: &World) -> Finished {
        let mut output = String::new();
        let status = match event(&self.init.control) {
            Ok(InitEvent::Exited(status)) => status,
            other => panic!("instead of Exited: {other:?}"),
        };
        world.wait_for_exit(self.init.id);
        self.output.read_to_string(&mut output).unwrap();
        Finished { status, output }
    }
}

/// How a payload ended and what it wrote.
#[derive(Debug, PartialEq, Eq)]
pub struct Finished {
    pub status: ExitStatus,
    pub output: String,
}

impl Finished {
    pub fn expect_success(self) -> String {
        assert_eq!(self.status, ExitStatus::Code(0), "{}", self.output);
        self.output
    }
}

/// Waits for the next event of an init.
pub fn event(control: &Control) -> Result<InitEvent, ReceiveError> {
    wait_readable(control.as_fd());
    Ok(control.receive()?.expect("it was readable"))
}

pub fn wait_readable(descriptor: BorrowedFd<'_>) {
    assert!(
        readable_within(descriptor, PATIENCE),
        "nothing happened in {PATIENCE:?}"
    );
}

pub fn readable_within(descriptor: BorrowedFd<'_>, patience: Duration) -> bool {
    let mut descriptors = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: patience.as_secs() as i64,
        tv_nsec: patience.subsec_nanos().into(),
    };
    rustix::event::poll(&mut descriptors, Some(&timeout)).unwrap() > 0
}

/// Polls until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A plan that executes `argv`, output to descriptor 0 of the list.
pub fn program(argv: &[&str]) -> ExecPlan {
    ExecPlan {
        init: PathBuf::from(argv[0]),
        argv: argv.iter().map(|argument| (*argument).to_owned()).collect(),
        env: vec![("PATH".to_owned(), "/bin".to_owned())],
        uid: UID,
        gid: GID,
        groups: Vec::new(),
        capabilities: CapabilitySet::EMPTY,
        rlimits: Vec::new(),
        sched: None,
        seccomp: Vec::new(),
        selinux_exec: None,
        descriptors: vec![(DescriptorIndex(0), 1), (DescriptorIndex(0), 2)],
        cgroup_namespace: true,
    }
}

pub fn shell(script: &str) -> ExecPlan {
    program(&["/bin/sh", "-ec", script])
}

pub fn capabilities(names: &[&str]) -> CapabilitySet {
    CapabilitySet::from_names(names.iter().copied()).unwrap()
}

pub fn planned(target: &str, kind: MountKind, flags: MountFlags) -> MountPlan {
    MountPlan {
        target: target.into(),
        kind,
        flags,
    }
}

pub fn tmpfs() -> MountKind {
    MountKind::Tmpfs {
        size: 1 << 20,
        mode: 0o1777,
        uid: 0,
        gid: 0,
    }
}

pub fn clone(path: &Path, flags: MountFlags) -> OwnedFd {
    let source = File::open(path).unwrap();
    mount::clone_tree(source.as_fd(), flags).unwrap()
}

/// The value of a line `key:\tvalue` of /proc/PID/status.
pub fn status_value<'a>(status: &'a str, key: &str) -> &'a str {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key} in {status}"))
        .trim()
}

fn build_root(root: &Path) {
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    for directory in [
        "bin",
        "proc",
        "sys",
        "dev",
        "tmp",
        "data",
        "other",
        "data/sub",
        "etc",
        "real/inner",
    ] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
    let busybox = busybox.iter().find(|path| path.exists());
    let busybox = busybox.expect("these tests need the package busybox-static");
    fs::copy(busybox, root.join("bin/busybox")).unwrap();
    for applet in [
        "sh", "cat", "ls", "id", "sleep", "stat", "readlink", "kill", "head", "env",
    ] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    build_probe(&root.join("bin/probe"));
    std::os::unix::fs::symlink("/real", root.join("link")).unwrap();
    std::os::unix::fs::symlink("../../../../..", root.join("out")).unwrap();
    fs::write(root.join("data/file"), "file").unwrap();
}

fn build_probe(to: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/containers/probe.c");
    let status = Command::new("cc")
        .args(["-static", "-O1", "-Wall", "-Werror", "-o"])
        .arg(to)
        .arg(source)
        .status()
        .expect("these tests need a C compiler: packages gcc, libc6-dev");
    assert!(status.success(), "the probe does not compile");
}
