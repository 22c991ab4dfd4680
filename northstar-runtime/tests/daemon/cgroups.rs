//! A machine without control groups, and whose groups containers are in.

use super::harness::{SLEEP, Site, child};
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};

/// The daemon where no control groups are mounted.
fn without_cgroups(site: &Site) -> Command {
    let mut command = Command::new("unshare");
    // The innermost come last.
    let script = "for at in $(sed -n 's/^[^ ]* [^ ]* [^ ]* [^ ]* \\([^ ]*\\) .* - cgroup2* .*/\\1/p' \
                  /proc/self/mountinfo | sort -r); do umount -l $at || exit 9; done; exec \"$@\"";
    let daemon = site.command();
    command.args(["--mount", "sh", "-c", script, "sh"]);
    command.arg(daemon.get_program()).args(daemon.get_args());
    command.env_remove("RUST_LOG");
    command
}

#[test]
fn without_controllers_only_what_asks_for_them_does_not_start() {
    let site = Site::new();
    let plain = site.shell("plain", "exit 3", "", "");
    let limits = [
        ("memory", "{memory: {memory_hard_limit: 8000000}}"),
        ("cpu", "{cpu: {shares: 100}}"),
        ("pids", "{pids: {max: 5}}"),
    ];
    let limited = limits.map(|(name, limit)| {
        let more = format!("cgroups: {limit}");
        (name, site.shell(name, "exit 0", &more, ""))
    });
    let daemon = site.daemon_by(without_cgroups(&site));
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", daemon.pid())).unwrap();
    assert!(!mounts.contains(" - cgroup"), "{mounts}");
    let mut console = daemon.console();
    assert_eq!(console.start(&plain), None);
    assert_eq!(console.exit_of(&plain), json!({"exit": {"code": 3}}));
    // What nobody asked for is off, and the daemon says so.
    let off = ["cpu", "pids", "devices"].map(|name| format!("cgroup controller {name}"));
    assert_eq!(console.inspect(&plain)["skipped"], json!(off));
    for (name, container) in limited {
        assert_ne!(console.start(&container), None, "{name}");
        assert_eq!(
            console.inspect(&container)["process"],
            Value::Null,
            "{name}"
        );
    }
    assert_eq!(console.start(&plain), None);
}

/// Init and program are in the container's group of each hierarchy that it has one in.
#[test]
fn container_is_in_its_groups_as_a_whole() {
    let site = Site::new();
    let limits =
        "cgroups: {memory: {memory_hard_limit: 100000000}, cpu: {shares: 100}, pids: {max: 50}}";
    let container = site.shell("app", SLEEP, limits, "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&container), None);
    let forker = daemon.forker();
    let init = child(forker);
    let groups = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(groups(init), groups(child(init)));
    let path = format!(":/{}/app", site.cgroup);
    let joined = groups(init);
    let of_the_container = joined.lines().filter(|line| line.ends_with(&path));
    let controllers = of_the_container.map(|line| line.split(':').nth(1).unwrap());
    let controllers = controllers
        .flat_map(|list| list.split(','))
        .collect::<Vec<_>>();
    // On version 2 alone the list is empty and stands for all of them.
    for controller in ["memory", "cpu", "pids"] {
        let version_2 = joined.lines().count() == 1 && controllers == [""];
        assert!(
            version_2 || controllers.contains(&controller),
            "{controller}: {joined}"
        );
    }
    // And the forker in none.
    assert!(!groups(forker).contains(&site.cgroup), "{joined}");
}

/// A container may have the name of a file that the kernel has in every group.
#[test]
fn names_of_control_files_are_names_of_containers() {
    let site = Site::new();
    let names = ["tasks", "release_agent", "cgroup.procs", "cpu.load"];
    let containers = names.map(|name| site.shell(name, "exit 3", "", ""));
    let daemon = site.daemon();
    let mut console = daemon.console();
    for container in containers {
        assert_eq!(console.start(&container), None, "{container}");
        assert_eq!(console.exit_of(&container), json!({"exit": {"code": 3}}));
    }
}

/// The same where control groups are of version 2.
#[test]
fn vm_container_is_in_its_groups_as_a_whole() {
    container_is_in_its_groups_as_a_whole();
}

/// A device can be opened if the manifest says so, or binds it without `nodev`, and else not, whatever its mode.
#[test]
fn devices_are_those_of_the_manifest_and_of_its_binds() {
    // The control device of loop devices: whoever may open it has done no harm yet.
    const NUMBERS: &str = "10 237";
    const RULE: &str = "type: char, major: 10, minor: 237";
    const MAKE: &str = "capabilities: [CAP_MKNOD, CAP_DAC_OVERRIDE]";
    let site = Site::new();
    let directory = site.path("devices");
    fs::create_dir(&directory).unwrap();
    let node = directory.join("node");
    let mut mknod = Command::new("mknod");
    mknod.args(["-m", "666"]).arg(&node).arg("c");
    let made = mknod.args(NUMBERS.split(' ')).status();
    assert!(made.unwrap().success());
    let bind = |target: &str, host: &Path, options: &str| {
        let host = host.display();
        format!("  {target}: {{type: bind, host: {host}, options: '{options}'}}\n")
    };
    let open = |path: &str| format!("(exec 3<{path}) || exit 7");
    let make = format!("mknod /dev/made c {NUMBERS} || exit 8; exec 3</dev/made");
    let rule =
        |access: &str| format!("{MAKE}\ncgroups: {{devices: [{{{RULE}, access: {access}}}]}}");
    let cases = [
        (
            "node",
            open("/dev/node"),
            String::new(),
            bind("/dev/node", &node, ""),
            0,
        ),
        (
            "nodev",
            open("/dev/node"),
            String::new(),
            bind("/dev/node", &node, "nodev"),
            7,
        ),
        (
            "all",
            open("/mnt/node"),
            String::new(),
            bind("/mnt", &directory, ""),
            0,
        ),
        (
            "none",
            open("/mnt/node"),
            String::new(),
            bind("/mnt", &directory, "nodev"),
            7,
        ),
        // A rule of the manifest does not take away what a bind brings.
        (
            "both",
            open("/dev/node"),
            "cgroups: {devices: []}".to_owned(),
            bind("/dev/node", &node, ""),
            0,
        ),
        // The container makes the node itself, where nodes can be opened.
        ("unasked", make.clone(), MAKE.to_owned(), String::new(), 8),
        ("asked", make.clone(), rule("rwm"), String::new(), 0),
        ("unmade", make.clone(), rule("rw"), String::new(), 8),
        ("unread", make, rule("m"), String::new(), 2),
    ];
    let packed = cases.map(|(name, script, more, mounts, code)| {
        (site.shell(name, &script, &more, &mounts), code)
    });
    let daemon = site.daemon();
    let mut console = daemon.console();
    for (container, code) in packed {
        assert_eq!(console.start(&container), None, "{container}");
        let expected = json!({"exit": {"code": code}});
        assert_eq!(console.exit_of(&container), expected, "{container}");
    }
}

/// The same where a program restricts devices.
#[test]
fn vm_devices_are_those_of_the_manifest_and_of_its_binds() {
    devices_are_those_of_the_manifest_and_of_its_binds();
}

#[test]
fn memory_shortage_is_notified() {
    let site = Site::new();
    let limits = "cgroups: {memory: {oom_monitor: true, memory_hard_limit: 8000000}}";
    // Reading a line without end takes memory without end.
    let app = site.shell("app", "tail /dev/zero; exit 0", limits, "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    let memory = loop {
        let notification = console.notification().unwrap();
        if notification["c_group"][0] == json!(app) {
            let memory = notification["c_group"][1]["memory"].clone();
            if !memory["oom_kill"].is_null() {
                break memory;
            }
        }
    };
    assert_eq!(memory["oom_kill"], json!(1));
}

#[test]
fn cgroup_of_another_container_is_out_of_reach() {
    let site = Site::new();
    let victim = site.shell("victim", SLEEP, "", "");
    let parent = format!("cgroups: {{parent: {}/victim}}", site.cgroup);
    let evil = site.shell("evil", SLEEP, &parent, "");
    let own = format!("cgroups: {{parent: {}}}", site.cgroup);
    let own = site.shell("own", SLEEP, &own, "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    let error = console.start(&evil).unwrap();
    assert!(error["start_container_failed"]["error"].is_string());
    for container in [&victim, &own] {
        assert_eq!(console.start(container), None);
    }
}

#[test]
fn cgroup_of_the_operator_is_neither_used_nor_removed() {
    let site = Site::new();
    // Beside the daemon's group: `keep` is the operator's, with a limit of his.
    let host = format!("{}-host", site.cgroup);
    let keep = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"]
        .into_iter()
        .map(std::path::Path::new)
        .find(|root| root.exists())
        .unwrap()
        .join(&host)
        .join("keep");
    std::fs::create_dir_all(&keep).unwrap();
    let inode = || std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&keep).unwrap());
    let before = inode();
    let parent = format!("cgroups: {{parent: {host}}}");
    let app = site.shell("keep", SLEEP, &parent, "");
    let other = site.shell("other", "exit 0", &parent, "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    let refused = console.start(&app);
    let started = console.start(&other);
    if started.is_none() {
        console.exit_of(&other);
    }
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    let ended = daemon.wait().status.code();
    let after = inode();
    std::fs::remove_dir(&keep).unwrap();
    std::fs::remove_dir(keep.parent().unwrap()).unwrap();
    assert_eq!(after, before);
    assert!(refused.unwrap()["start_container_failed"]["error"].is_string());
    assert_eq!((started, ended), (None, Some(0)));
}

/// The same where control groups are of version 2.
#[test]
fn vm_memory_shortage_is_notified() {
    memory_shortage_is_notified();
}
