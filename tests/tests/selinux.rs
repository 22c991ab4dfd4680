//! Labels of SELinux, in enforcing mode, with a policy made for these tests: `selinux/policy.cil` says what it allows.
//!
//! They need a kernel that was started with `security=selinux selinux=1` and has no policy yet: a boot of the virtual
//! machine of their own.

use std::{fs, path::Path, process::Command, sync::Once};

use northstar_tests::{
    Daemon, Package, Site,
    image::{Node, Tree},
    raw,
};
use serde_json::{Value, json};

const EACCES: i32 = 13;
const EINVAL: i32 = 22;

const SELINUXFS: &str = "/sys/fs/selinux";

/// Loads the policy once and puts it into force. Every other label than those of the policy is invalid from then on.
fn enforce() {
    static LOADED: Once = Once::new();
    LOADED.call_once(|| {
        let types = fs::read_to_string("/proc/filesystems").unwrap();
        assert!(
            types.contains("selinuxfs"),
            "the kernel was not started with SELinux"
        );
        if !Path::new(SELINUXFS).join("load").exists() {
            let none = None::<&str>;
            let flags = nix::mount::MsFlags::empty();
            nix::mount::mount(Some("selinuxfs"), SELINUXFS, Some("selinuxfs"), flags, none)
                .unwrap();
        }
        let work = tempfile::tempdir().unwrap();
        let policy = work.path().join("policy");
        let output = Command::new("secilc")
            .arg("--output")
            .arg(&policy)
            .arg("--filecontext")
            .arg(work.path().join("contexts"))
            .arg("tests/selinux/policy.cil")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("secilc runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        fs::write(Path::new(SELINUXFS).join("load"), fs::read(policy).unwrap()).unwrap();
        fs::write(Path::new(SELINUXFS).join("enforce"), "1").unwrap();
    });
    assert_eq!(
        fs::read_to_string(Path::new(SELINUXFS).join("enforce")).unwrap(),
        "1"
    );
}

fn label(kind: &str) -> String {
    format!("tests_u:tests_r:{kind}")
}

fn labelled(name: &str, arguments: &[&str], mount: &str, exec: &str) -> Package {
    let (mount, exec) = (label(mount), label(exec));
    Package::app(name, arguments).field(&format!(
        "selinux: {{mount_context: '{mount}', exec: '{exec}'}}"
    ))
}

fn run(daemon: &Daemon, container: &str) -> Vec<String> {
    let mut console = daemon.console();
    console.start_ok(container);
    let status = console.expect_exit(container);
    assert_eq!(status, json!({"exit": {"code": 0}}), "{}", daemon.log());
    daemon.complete_output(container)
}

/// Mounts with label, program with label: what the manifest says is what is in force.
#[test]
fn vm_selinux_labels_are_those_of_the_manifest() {
    enforce();
    let site = Site::new();
    site.pack(&labelled(
        "current",
        &["cat", "/proc/self/attr/current"],
        "image_t",
        "app_t",
    ));
    site.pack(&labelled("mounts", &["mounts"], "image_t", "app_t"));
    site.pack(&Package::app(
        "unlabelled",
        &["cat", "/proc/self/attr/current"],
    ));
    let daemon = site.start();
    let current = |container: &str| {
        let line = run(&daemon, container).remove(0);
        let (_, label) = line.split_once(' ').unwrap();
        // Some kernels end the label with a NUL, which the log shows escaped.
        label
            .trim_end_matches("\\0")
            .trim_end_matches("\\u{0}")
            .trim_end_matches("\\x00")
            .to_owned()
    };
    assert_eq!(current("current:0.0.1"), label("app_t"));
    assert_eq!(current("unlabelled:0.0.1"), label("kernel_t"));
    let mounts = run(&daemon, "mounts:0.0.1");
    let root = mounts
        .iter()
        .find(|line| line.split(' ').nth(4) == Some("/"))
        .unwrap();
    let wanted = format!("context={}", label("image_t"));
    assert!(root.contains(&wanted), "{root}");
    daemon.stop();
}

/// A transition that the policy does not allow ends the start; nothing is executed under another label instead.
#[test]
fn vm_selinux_label_that_the_policy_refuses_stops_the_start() {
    enforce();
    let site = Site::new();
    site.pack(&labelled(
        "refused",
        &["print", "never"],
        "image_t",
        "refused_t",
    ));
    // The program may be entered by way of another label of files only.
    site.pack(&labelled(
        "entrypoint",
        &["print", "never"],
        "other_t",
        "app_t",
    ));
    site.pack(
        &Package::app("unlabelled", &["print", "never"])
            .field(&format!("selinux: {{exec: '{}'}}", label("app_t"))),
    );
    site.pack(&labelled("good", &["print", "runs"], "image_t", "app_t"));
    let daemon = site.start();
    for container in ["refused:0.0.1", "entrypoint:0.0.1", "unlabelled:0.0.1"] {
        let failure = daemon.console().start_failure(container);
        assert_eq!(
            (failure.step.as_str(), failure.errno),
            ("execve", EACCES),
            "{container}: {failure:?}"
        );
        assert_eq!(
            daemon.output(container, northstar_tests::Stream::Stdout),
            Vec::<String>::new()
        );
    }
    assert_eq!(run(&daemon, "good:0.0.1"), ["runs"]);
    daemon.stop();
}

/// A label that the policy does not know.
#[test]
fn vm_selinux_unknown_label_stops_the_start() {
    enforce();
    let site = Site::new();
    site.pack(&labelled(
        "exec",
        &["print", "never"],
        "image_t",
        "no_such_t",
    ));
    site.pack(&labelled(
        "mount",
        &["print", "never"],
        "no_such_t",
        "app_t",
    ));
    let daemon = site.start();
    let mut console = daemon.console();
    let failure = console.start_failure("exec:0.0.1");
    assert_eq!(
        (failure.step.as_str(), failure.errno),
        ("selinux-exec", EINVAL),
        "{failure:?}"
    );
    assert_eq!(failure.detail, label("no_such_t"));
    let answer = console.start("mount:0.0.1");
    let error = answer
        .pointer("/start/error/error/start_container_failed/error")
        .and_then(Value::as_str);
    assert!(
        error.is_some_and(|error| error.contains("mount:0.0.1")),
        "{answer}"
    );
    daemon.stop();
}

/// An image that brings a `/proc` with a file where the label is written: the label is in force all the same.
#[test]
fn vm_selinux_image_cannot_swallow_the_label() {
    enforce();
    let site =
        Site::new().tables("[repositories.open]\ntype = { fs = { dir = \"DIRECTORY/open\" } }\n");
    fs::create_dir(site.path().join("open")).unwrap();
    let tree = Tree::runnable()
        .with("/proc/self/attr/exec", Node::file("forged"))
        .with("/proc/thread-self/attr/exec", Node::file("forged"))
        .with("/proc/1/attr/exec", Node::file("forged"));
    for (name, exec) in [("good", "app_t"), ("refused", "refused_t")] {
        let manifest = format!(
            "name: {name}\nversion: 0.0.1\nuid: 1000\ngid: 1000\ninit: /test-container\nargs: [print, runs]\n\
             io: {{stdout: pipe, stderr: pipe}}\nselinux: {{mount_context: '{}', exec: '{}'}}\n",
            label("image_t"),
            label(exec)
        );
        let package = raw::unsigned(manifest.as_bytes(), &tree.pack());
        fs::write(site.path().join(format!("open/{name}.npk")), package).unwrap();
    }
    let daemon = site.start();
    assert_eq!(run(&daemon, "good:0.0.1"), ["runs"]);
    let failure = daemon.console().start_failure("refused:0.0.1");
    assert_eq!(
        (failure.step.as_str(), failure.errno),
        ("execve", EACCES),
        "{failure:?}"
    );
    daemon.stop();
}
