//! A machine without control groups, and whose groups containers are in.

use super::harness::Site;
use serde_json::{Value, json};
use std::{fs, process::Command};

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
    let container = site.shell("app", "echo ready; while :; do sleep 1; done", limits, "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&container), None);
    let forker = daemon.forker();
    let child = |pid: i32| -> i32 {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().next().unwrap().parse().unwrap()
    };
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

/// The same where control groups are of version 2.
#[test]
fn vm_container_is_in_its_groups_as_a_whole() {
    container_is_in_its_groups_as_a_whole();
}
