//! From a recorded run to a filter: record with strace, learn with `nstar seccomp`, start with what was learned.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use northstar_tests::{Daemon, Package, Site, eventually, programs};

/// `EPERM` (errno(3)).
const EPERM: i32 = 1;

/// Records a run of the test program on the host.
fn record(directory: &Path, arguments: &[&str]) -> PathBuf {
    let recording = directory.join("host.strace");
    let output = Command::new("strace")
        .args(["-f", "-o"])
        .arg(&recording)
        .arg(&programs().test_container)
        .args(arguments)
        .output()
        .expect("strace runs");
    assert!(output.status.success(), "{output:?}");
    recording
}

/// What `nstar seccomp` makes of recordings.
fn learn(arguments: &[&str], recording: &Path) -> String {
    let output = Command::new(&programs().nstar)
        .arg("seccomp")
        .args(arguments)
        .arg(recording)
        .output()
        .expect("nstar runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("YAML is text")
}

/// Runs a container whose arguments are replaced, and returns its output and its exit code.
fn run(daemon: &Daemon, container: &str, arguments: &[&str]) -> (Vec<String>, Option<i32>) {
    let output = Command::new(&programs().nstar)
        .arg("--url")
        .arg(daemon.url())
        .args(["--timeout", "60s", "start", "--wait"])
        .args(["--init", "<INIT>", container, "--"])
        .args(arguments)
        .output()
        .expect("nstar runs");
    let told = String::from_utf8_lossy(&output.stdout);
    let has_run = told.contains(&format!("exit {container} "));
    assert!(has_run, "{output:?}\n{}", daemon.log());
    (daemon.complete_output(container), output.status.code())
}

#[test]
fn what_was_recorded_runs_and_nothing_else() {
    let site = Site::new();
    let run_as = ["cat", "/etc/hosts"];
    let recording = record(site.path(), &run_as);
    let learned = learn(&[], &recording);
    site.pack(
        &Package::app("learned", &run_as)
            .field(&learned)
            .file("/etc/hosts", "localhost"),
    );
    // The same list, and something else to do: listing a directory was not recorded.
    site.pack(
        &Package::app("other", &run_as)
            .field(&learned)
            .file("/etc/hosts", "localhost"),
    );
    let daemon = site.start();
    let (lines, code) = run(&daemon, "learned:0.0.1", &run_as);
    assert_eq!(code, Some(0), "{}", daemon.log());
    assert_eq!(lines, ["/etc/hosts localhost"]);

    let (lines, _) = run(&daemon, "other:0.0.1", &["list", "/etc"]);
    assert_eq!(
        lines,
        [format!(
            "error {}",
            std::io::Error::from_raw_os_error(EPERM)
        )]
    );
    daemon.stop();
}

/// Attaches strace to the forker of a daemon, and to everything that it makes.
fn follow(forker: i32, recording: &Path) -> Child {
    let strace = Command::new("strace")
        .args(["-f", "-o"])
        .arg(recording)
        .args(["-p", &forker.to_string()])
        .stderr(Stdio::null())
        .spawn()
        .expect("strace runs");
    eventually("strace at the forker", || {
        let status = fs::read_to_string(format!("/proc/{forker}/status")).ok()?;
        let tracer = status
            .lines()
            .find_map(|line| line.strip_prefix("TracerPid:"))?;
        (tracer.trim() != "0").then_some(())
    });
    strace
}

fn forker_of(daemon: &Daemon) -> i32 {
    let children = format!("/proc/{0}/task/{0}/children", daemon.pid());
    eventually("the forker", || {
        let children = fs::read_to_string(&children).ok()?;
        children.split_whitespace().find_map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            (name.trim() == "northstar-fork").then(|| pid.parse().ok())?
        })
    })
}

#[test]
fn a_container_is_recorded_while_it_starts() {
    let site = Site::new();
    let run_as = ["print", "hello"];
    site.pack(&Package::app("recorded", &run_as));
    let daemon = site.start();
    let recording = site.path().join("container.strace");
    let mut strace = follow(forker_of(&daemon), &recording);
    let (lines, code) = run(&daemon, "recorded:0.0.1", &run_as);
    assert_eq!(
        (lines.as_slice(), code),
        (&["hello".to_owned()][..], Some(0))
    );
    let pid = i32::try_from(strace.id()).expect("a process id fits");
    kill(Pid::from_raw(pid), Signal::SIGINT).expect("strace runs");
    strace.wait().expect("strace ends");
    daemon.stop();

    let whole = learn(&[], &recording);
    let learned = learn(&["--program", "/test-container"], &recording);
    // The set-up of the container mounts; the program does not.
    assert!(whole.contains("    move_mount: any"), "{whole}");
    assert!(!learned.contains("mount"), "{learned}");
    assert!(learned.contains("    write: any"), "{learned}");

    let site = Site::new();
    site.pack(&Package::app("learned", &run_as).field(&learned));
    site.pack(&Package::app("other", &run_as).field(&learned));
    let daemon = site.start();
    let (lines, code) = run(&daemon, "learned:0.0.1", &run_as);
    assert_eq!(
        (lines.as_slice(), code),
        (&["hello".to_owned()][..], Some(0))
    );
    let (lines, _) = run(&daemon, "other:0.0.1", &["list", "/"]);
    let refused = format!("error {}", std::io::Error::from_raw_os_error(EPERM));
    assert!(lines.contains(&refused), "{lines:?}");
    daemon.stop();
}
