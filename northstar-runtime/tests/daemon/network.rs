//! Network namespaces that somebody else has made, as ip-netns(8) does.

use super::harness::{Daemon, SLEEP, Site, child};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

const DIRECTORY: &str = "/run/netns";

fn run(command: &[&str]) {
    let status = Command::new(command[0]).args(&command[1..]).status();
    assert!(status.unwrap().success(), "{command:?}");
}

/// Files in [`DIRECTORY`], which is a mount that others see changes of. Dropping removes what was made.
struct Namespaces {
    files: Vec<PathBuf>,
    mounted: bool,
}

impl Namespaces {
    fn new() -> Namespaces {
        fs::create_dir_all(DIRECTORY).unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounted = !mounts.contains(&format!(" {DIRECTORY} "));
        if mounted {
            run(&["mount", "--bind", DIRECTORY, DIRECTORY]);
            run(&["mount", "--make-shared", DIRECTORY]);
        }
        Namespaces {
            files: Vec::new(),
            mounted,
        }
    }

    /// An empty file, which is what is left of a namespace for a moment.
    fn file(&mut self, suffix: &str) -> String {
        let name = format!("northstar-test-{}-{suffix}", std::process::id());
        let path = Path::new(DIRECTORY).join(&name);
        File::create(&path).unwrap();
        self.files.push(path);
        name
    }

    /// A new namespace of a kind of unshare(1).
    fn make(&mut self, kind: &str, suffix: &str) -> String {
        let name = self.file(suffix);
        run(&["unshare", &format!("--{kind}={DIRECTORY}/{name}"), "true"]);
        name
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        let umount = |path: &Path| Command::new("umount").arg(path).output().unwrap();
        for file in &self.files {
            umount(file);
            let _ = fs::remove_file(file);
        }
        if self.mounted {
            umount(Path::new(DIRECTORY));
        }
    }
}

fn number(path: impl AsRef<Path>) -> u64 {
    fs::metadata(path).unwrap().ino()
}

/// The number of the network namespace of the only container.
fn network(daemon: &Daemon) -> u64 {
    let forker = daemon.forker();
    let children = fs::read_to_string(format!("/proc/{forker}/task/{forker}/children")).unwrap();
    number(format!("/proc/{}/ns/net", children.trim()))
}

fn package(site: &Site, app: &str, namespace: &str) -> String {
    let script = "while :; do sleep 1; done";
    site.shell(app, script, &format!("network: !namespace {namespace}"), "")
}

#[test]
fn namespace_is_joined_by_its_name() {
    let site = Site::new();
    let mut namespaces = Namespaces::new();
    let (early, late) = (namespaces.make("net", "early"), "late");
    let container = package(&site, "early", &early);
    let other = package(
        &site,
        "late",
        &format!("northstar-test-{}-{late}", std::process::id()),
    );
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&container), None);
    assert_eq!(network(&daemon), number(Path::new(DIRECTORY).join(&early)));
    assert_eq!(console.kill(&container, 9), None);
    console.exit_of(&container);

    // One that is made while the daemon runs.
    assert_ne!(console.start(&other), None);
    let late = namespaces.make("net", late);
    assert_eq!(console.start(&other), None);
    assert_eq!(network(&daemon), number(Path::new(DIRECTORY).join(&late)));
}

#[test]
fn what_is_no_network_namespace_stops_the_start() {
    let site = Site::new();
    let mut namespaces = Namespaces::new();
    let empty = namespaces.file("empty");
    let host_names = namespaces.make("uts", "uts");
    let app = package(&site, "empty", &empty);
    let other = package(&site, "uts", &host_names);
    let daemon = site.daemon();
    let mut console = daemon.console();
    for (container, said) in [
        (app, format!("{DIRECTORY}/{empty} is no network namespace")),
        (other, "network: Invalid argument (os error 22)".to_owned()),
    ] {
        let error = json!({"container": container, "error": said});
        let failed = json!({"start_container_failed": error});
        assert_eq!(console.start(&container), Some(failed));
        assert_eq!(console.inspect(&container)["process"], Value::Null);
    }
}

/// The sockets that a process has, and those of them that are Unix sockets of its network.
fn sockets(pid: i32) -> (BTreeSet<String>, BTreeSet<String>) {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    // A shell opens and closes files while it starts.
    let links = links.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let inode = |link: PathBuf| {
        let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        Some(inode.to_owned())
    };
    let held: BTreeSet<String> = links.filter_map(inode).collect();
    let table = fs::read_to_string(format!("/proc/{pid}/net/unix")).unwrap();
    let lines = table.lines().skip(1);
    let of_network = lines.filter_map(|line| line.split_whitespace().nth(6));
    let of_network = of_network.map(str::to_owned).collect();
    (
        held.clone(),
        held.intersection(&of_network).cloned().collect(),
    )
}

/// Whoever has a socket gets at the network it was made in: which must be that of the container, or nobody's if that
/// belongs to a user namespace.
#[test]
fn sockets_are_of_the_network_of_their_container() {
    let site = Site::new();
    let mut namespaces = Namespaces::new();
    let named = namespaces.make("net", "sockets");
    let gifts = "console: {permissions: [ident]}\n\
        sockets: {a: {type: stream, mode: 0o600}, b: {type: datagram, mode: 0o600}, c: {type: seq_packet, mode: 0o600}}\n";
    let cases = [
        ("private", String::new(), 4),
        ("host", "network: host".to_owned(), 4),
        ("named", format!("network: !namespace {named}"), 4),
        ("mapped", "userns: true".to_owned(), 0),
    ];
    let containers = cases.map(|(name, field, own)| {
        let field = format!("{gifts}{field}");
        (site.shell(name, SLEEP, &field, ""), own)
    });
    let daemon = site.daemon();
    let mut console = daemon.console();
    for (container, own) in containers {
        assert_eq!(console.start(&container), None);
        let payload = child(child(daemon.forker()));
        let (held, of_network) = sockets(payload);
        assert_eq!((held.len(), of_network.len()), (4, own), "{container}");
        let table = fs::read_to_string("/proc/self/net/unix").unwrap();
        let of_host = held.iter().filter(|inode| {
            let mut columns = table
                .lines()
                .filter_map(|line| line.split_whitespace().nth(6));
            columns.any(|column| column == inode.as_str())
        });
        let expected = if container.starts_with("host:") { 4 } else { 0 };
        assert_eq!(of_host.count(), expected, "{container}");
        assert_eq!(console.kill(&container, 9), None);
        console.exit_of(&container);
    }
}
