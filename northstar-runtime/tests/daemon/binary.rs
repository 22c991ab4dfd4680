//! The daemon's program is a sealed copy in memory: what a container reaches through `/proc/1/exe` cannot be altered.

use super::harness::{Daemon, SLEEP, Site, eventually};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::signal::Signal,
};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::Write,
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStringExt, fs::MetadataExt, process::CommandExt},
    },
    path::Path,
    process::{Command, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_northstar");
const NOEXEC: &str = "/proc/sys/vm/memfd_noexec";

/// The seals of the program that a process executes; `None` if it is an ordinary file.
fn seals(pid: i32) -> Option<SealFlag> {
    let program = File::open(format!("/proc/{pid}/exe")).unwrap();
    match fcntl(&program, FcntlArg::F_GET_SEALS) {
        Ok(seals) => Some(SealFlag::from_bits_retain(seals)),
        Err(Errno::EINVAL) => None,
        Err(error) => panic!("{error}"),
    }
}

fn all_seals() -> SealFlag {
    SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL
}

fn name(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    name.trim_end().to_owned()
}

/// The init of the only container that runs: the only child of the forker.
fn init(daemon: &Daemon) -> i32 {
    let forker = daemon.forker();
    eventually("init", || {
        let children = fs::read_to_string(format!("/proc/{forker}/task/{forker}/children"));
        children.unwrap().trim().parse().ok()
    })
}

/// Names and arguments are what pgrep(1) compares, without and with `-f`.
#[test]
fn daemon_forker_and_init_execute_a_sealed_copy_under_their_names() {
    let site = Site::new();
    let container = site.shell("app", SLEEP, "", "");
    let daemon = site.daemon();
    assert_eq!(daemon.console().start(&container), None);
    let (forker, init) = (daemon.forker(), init(&daemon));
    let named = [
        (daemon.pid(), "northstar"),
        (forker, "northstar-fork"),
        (init, "northstar-init"),
    ];
    for (pid, expected) in named {
        assert_eq!(name(pid), expected);
        let seals = seals(pid).unwrap();
        assert!(seals.contains(all_seals()), "{expected}: {seals:?}");
        let content = fs::read(format!("/proc/{pid}/exe")).unwrap();
        assert!(
            fs::read(PROGRAM).unwrap().starts_with(&content),
            "{expected}"
        );
    }
    let expected: [OsString; 3] = [
        PROGRAM.into(),
        "--config".into(),
        site.path("northstar.toml").into(),
    ];
    let arguments = fs::read(format!("/proc/{}/cmdline", daemon.pid())).unwrap();
    let arguments = arguments.split_inclusive(|byte| *byte == 0);
    let arguments =
        arguments.map(|argument| OsString::from_vec(argument[..argument.len() - 1].to_vec()));
    assert_eq!(arguments.collect::<Vec<OsString>>(), expected);
}

/// CVE-2019-5736: whoever may look at init and write files that are not its own.
#[test]
fn container_that_may_trace_and_write_everything_cannot_alter_the_program() {
    let site = Site::new();
    let script = "exec 3</proc/1/exe || exit 10
        case $(readlink /proc/1/exe) in /memfd:*) ;; *) exit 11;; esac
        for exe in /proc/1/exe /proc/self/fd/3; do
            if (printf x >$exe) || (printf x >>$exe) || (printf x 1<>$exe) || (truncate -s 0 $exe); then exit 12; fi
        done
        exit 42";
    let more = "capabilities: [CAP_SYS_PTRACE, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH]";
    let container = site.shell("app", script, more, "");
    let before = fs::read(PROGRAM).unwrap();
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&container), None);
    let end = console.exit_of(&container);
    assert_eq!(end, serde_json::json!({"exit": {"code": 42}}));
    assert!(before == fs::read(PROGRAM).unwrap());
}

#[test]
fn copy_cannot_be_altered_by_root_when_nothing_executes_it_any_more() {
    let daemon = Site::new().daemon();
    let kept = File::open(format!("/proc/{}/exe", daemon.pid())).unwrap();
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().status.success());
    let path = format!("/proc/self/fd/{}", kept.as_raw_fd());
    let mut writable = eventually("the last process to end", || {
        OpenOptions::new().write(true).open(&path).ok()
    });
    let written = writable.write(b"x").map_err(|error| error.raw_os_error());
    assert_eq!(written, Err(Some(Errno::EPERM as i32)));
    let cut = writable.set_len(0).map_err(|error| error.raw_os_error());
    assert_eq!(cut, Err(Some(Errno::EPERM as i32)));
}

fn status(pid: i32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap().trim_start_matches(':').trim().to_owned()
}

/// Copies the daemon's program into a site that then belongs to user 1000 and gives the copy, as its file capabilities,
/// everything that this process may pass on. Returns the command of user 1000 that runs it, and the set.
fn privileged_copy(site: &Site) -> (Command, u64) {
    let program = site.path("northstar");
    fs::copy(PROGRAM, &program).unwrap();
    let own = std::process::id().try_into().unwrap();
    let bounding = u64::from_str_radix(&status(own, "CapBnd"), 16).unwrap();
    // `struct vfs_cap_data`, linux/capability.h: version 2, effective; permitted and inheritable by halves.
    let halves = [bounding as u32, 0, (bounding >> 32) as u32, 0];
    let value = [0x0200_0001]
        .into_iter()
        .chain(halves)
        .flat_map(u32::to_le_bytes);
    let value = value.collect::<Vec<u8>>();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&program, c"security.capability", &value, flags).unwrap();
    site.give_to(1000);
    let mut command = Command::new(&program);
    command
        .args(site.command().get_args())
        .env_remove("RUST_LOG");
    command.uid(1000).gid(1000);
    (command, bounding)
}

/// The copy in memory has no capabilities of its own.
#[test]
fn daemon_that_has_its_capabilities_from_its_file_keeps_them() {
    let site = Site::new();
    let container = site.shell("app", "exit 7", "", "");
    let (command, bounding) = privileged_copy(&site);
    let daemon = site.daemon_by(command);
    assert!(seals(daemon.pid()).unwrap().contains(all_seals()));
    let all = format!("{bounding:016x}");
    let none = "0000000000000000".to_owned();
    let keys = ["CapPrm", "CapEff", "CapInh", "CapAmb"];
    let found = keys.map(|key| status(daemon.pid(), key));
    assert_eq!(found, [all.clone(), all, none.clone(), none]);
    let mut console = daemon.console();
    assert_eq!(console.start(&container), None);
    assert_eq!(
        console.exit_of(&container),
        serde_json::json!({"exit": {"code": 7}})
    );
}

/// Who starts a program that is more privileged than himself does not say what it loads. The kernel tells the first
/// program so (AT_SECURE of getauxval(3)), but not the copy, which gains nothing any more.
#[test]
fn environment_of_who_has_fewer_privileges_does_not_reach_the_copy() {
    let site = Site::new();
    let (source, library, proof) = (
        site.path("preloaded.c"),
        site.path("preloaded.so"),
        site.path("proof"),
    );
    let code = format!(
        "#include <fcntl.h>\n__attribute__((constructor)) static void loaded(void)\n\
         {{ open(\"{}\", O_CREAT | O_WRONLY, 0600); }}\n",
        proof.display()
    );
    fs::write(&source, code).unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(compiled.unwrap().success());
    // The library is one that is loaded.
    let mut unprivileged = Command::new(PROGRAM);
    unprivileged.arg("--version").env("LD_PRELOAD", &library);
    assert!(
        unprivileged
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
    fs::remove_file(&proof).unwrap();

    let (mut command, _) = privileged_copy(&site);
    command
        .env_clear()
        .env("LD_PRELOAD", &library)
        .env("LD_AUDIT", &library)
        .env("LD_LIBRARY_PATH", site.path(""))
        .env("GCONV_PATH", site.path(""))
        .env("GLIBC_TUNABLES", "glibc.malloc.check=3")
        .env("OPENSSL_CONF", site.path("openssl.cnf"))
        .env("DM_DEV_DIR", site.path(""))
        .env("RUST_LOG", "warn");
    let daemon = site.daemon_by(command);
    let environment = fs::read(format!("/proc/{}/environ", daemon.pid())).unwrap();
    assert_eq!(String::from_utf8(environment).unwrap(), "RUST_LOG=warn\0");
    assert!(!proof.exists());
}

/// The forker, which has every privilege of the daemon, and init are not dumpable: the kernel gives what procfs tells of
/// them to root, although they belong to the daemon's user.
#[test]
fn forker_and_init_are_closed_to_other_processes_of_their_user() {
    let site = Site::new();
    let container = site.shell("app", SLEEP, "", "");
    let (command, _) = privileged_copy(&site);
    let daemon = site.daemon_by(command);
    assert_eq!(daemon.console().start(&container), None);
    let list = |pid: i32| {
        let mut list = Command::new("ls");
        list.arg(format!("/proc/{pid}/fd")).uid(1000).gid(1000);
        list.output().unwrap().status.success()
    };
    let mut expected = vec![(daemon.pid(), true), (daemon.forker(), false)];
    expected.push((init(&daemon), false));
    for (pid, open) in expected {
        assert_eq!(list(pid), open, "{}", name(pid));
        for entry in ["environ", "maps", "mem", "auxv"] {
            let owner = fs::metadata(format!("/proc/{pid}/{entry}")).unwrap().uid();
            let expected = if open { 1000 } else { 0 };
            assert_eq!(owner, expected, "{entry} of {}", name(pid));
        }
    }
}

/// Runs the daemon in a pid namespace, for which alone the setting is.
fn with_noexec(site: &Site, value: u8, more: &[&str]) -> Command {
    site.configure();
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--kill-child", "sh", "-c"])
        .arg(format!("echo {value} >{NOEXEC} && exec \"$@\""))
        .args(["sh", PROGRAM, "--config"])
        .arg(site.path("northstar.toml"))
        .args(more)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Ends the daemon below unshare(1) when it answers. Returns the seals of its program.
fn seals_when_up(site: &Site, mut command: Command) -> Option<SealFlag> {
    let mut child = command.spawn().unwrap();
    let socket = site.path("console");
    eventually("console", || {
        assert_eq!(child.try_wait().unwrap(), None);
        std::os::unix::net::UnixStream::connect(&socket).ok()
    });
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let daemon = fs::read_to_string(children)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let seals = seals(daemon);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon), Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
    seals
}

#[test]
fn machine_that_forbids_executable_memory_needs_the_way_out() {
    let site = Site::new();
    if !Path::new(NOEXEC).exists() {
        // Before Linux 6.3 every memory file can be executed.
        let daemon = site.daemon();
        assert!(seals(daemon.pid()).unwrap().contains(all_seals()));
        return;
    }
    for value in [0, 1] {
        let seals = seals_when_up(&site, with_noexec(&site, value, &[])).unwrap();
        assert!(seals.contains(all_seals()), "{value}: {seals:?}");
    }
    let other = site.neighbour();
    let refused = with_noexec(&other, 2, &[]).status().unwrap();
    assert_eq!(refused.code(), Some(1));
    assert!(!other.path("run").exists());
    for quick in ["--check-config", "--help", "--version"] {
        let status = with_noexec(&site, 2, &[quick]).status().unwrap();
        assert_eq!(status.code(), Some(0), "{quick}");
    }
    let in_place = with_noexec(&site, 2, &["--execute-in-place"]);
    assert_eq!(seals_when_up(&site, in_place), None);
}
