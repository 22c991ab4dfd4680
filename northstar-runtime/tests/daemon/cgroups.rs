//! A machine without control groups, and whose groups containers are in.

use super::harness::{Daemon, Site};
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};

const SLEEP: &str = "while :; do sleep 1; done";

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

/// The first child of a process.
fn child(pid: i32) -> i32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().next().unwrap().parse().unwrap()
}

/// The program of the only container.
fn program(daemon: &Daemon) -> i32 {
    child(child(daemon.forker()))
}

/// Whether a process is in a group of its container that shares processors as a whole, with the default weight.
fn has_cpu_group(pid: i32, site: &Site) -> bool {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = format!("/{}/app", site.cgroup);
    let mine = |line: &str| line.splitn(3, ':').nth(2) == Some(&path);
    let is_cpu = |line: &&str| line.split([':', ',']).any(|word| word == "cpu");
    let (file, weight) = match groups.lines().find(is_cpu) {
        Some(line) if !mine(line) => return false,
        Some(_) => ("cpu", "shares 1024"),
        // Version 2, where it is a matter of the controllers that are enabled.
        None => ("", "weight 100"),
    };
    let (name, weight) = weight.split_once(' ').unwrap();
    let directory = Path::new("/sys/fs/cgroup")
        .join(file)
        .join(&site.cgroup)
        .join("app");
    let found = fs::read_to_string(directory.join(format!("cpu.{name}"))).unwrap();
    assert_eq!(found.trim(), weight);
    true
}

/// Nice value, realtime priority and policy of proc_pid_stat(5), and what ionice(1) says, of a process that nobody has
/// favoured.
const ORDINARY: &str = "0 0 0 none: prio 0";

/// The same of any process.
fn scheduling(pid: i32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap();
    let fields = fields.split_whitespace().collect::<Vec<_>>();
    let output = Command::new("ionice")
        .args(["-p", &pid.to_string()])
        .output();
    let io = String::from_utf8(output.unwrap().stdout).unwrap();
    format!("{} {} {} {}", fields[16], fields[37], fields[38], io.trim())
}

/// Whatever a container runs, it is one party when processors are scarce.
#[test]
fn container_shares_processors_as_a_whole_without_being_asked() {
    let site = Site::new();
    let container = site.shell("app", SLEEP, "", "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&container), None);
    assert!(has_cpu_group(program(&daemon), &site));
    // The daemon and its forker are beside the group of all containers, not in it.
    for pid in [daemon.pid(), daemon.forker()] {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert!(!groups.contains(&site.cgroup), "{groups}");
    }
}

/// The same where control groups are of version 2.
#[test]
fn vm_container_shares_processors_as_a_whole_without_being_asked() {
    container_shares_processors_as_a_whole_without_being_asked();
}

/// A program that is given a realtime policy, or the right to take one, has it on kernels, too, on which a cpu group of
/// version 1 would forbid it.
#[test]
fn realtime_is_possible_whatever_the_kernel() {
    let forbids = Path::new("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists();
    for more in [
        "sched: {policy: !fifo {priority: 3}}",
        "sched: {policy: !round_robin {priority: 3}}",
        "capabilities: [CAP_SYS_NICE]",
    ] {
        let site = Site::new();
        let container = site.shell("app", SLEEP, more, "");
        let daemon = site.daemon();
        let mut console = daemon.console();
        assert_eq!(console.start(&container), None, "{more}");
        assert_eq!(has_cpu_group(program(&daemon), &site), !forbids, "{more}");
    }
    // A group that is asked for forbids it there, unless time is asked for, too, which is to be had nowhere else.
    for (cpu, starts) in [
        ("{shares: 100}", !forbids),
        ("{shares: 100, realtime_runtime: 10000}", forbids),
    ] {
        let site = Site::new();
        let more = format!("sched: {{policy: !fifo {{priority: 3}}}}\ncgroups: {{cpu: {cpu}}}");
        let container = site.shell("app", SLEEP, &more, "");
        let daemon = site.daemon();
        let failed = daemon.console().start(&container);
        assert_eq!(failed.is_none(), starts, "{cpu}: {failed:?}");
    }
    let site = Site::new();
    let more = "capabilities: [CAP_SYS_NICE]";
    let container = site.shell("app", "chrt --fifo 2 true", more, "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&container), None);
    assert_eq!(console.exit_of(&container), json!({"exit": {"code": 0}}));
}

/// A daemon that is served before others, the I/O included, starts containers that are not.
#[test]
fn containers_of_a_favoured_daemon_are_not_favoured() {
    for favour in [
        &["chrt", "--fifo", "1"][..],
        &["nice", "-n", "-15"],
        &["ionice", "-c", "1", "-n", "1"],
    ] {
        let site = Site::new();
        let container = site.shell("app", SLEEP, "", "");
        let daemon = site.command();
        let mut command = Command::new(favour[0]);
        command.args(&favour[1..]).arg(daemon.get_program());
        command.args(daemon.get_args()).env_remove("RUST_LOG");
        let daemon = site.daemon_by(command);
        let mut console = daemon.console();
        assert_eq!(console.start(&container), None, "{favour:?}");
        let (init, program) = (child(daemon.forker()), program(&daemon));
        assert_ne!(scheduling(daemon.forker()), ORDINARY, "{favour:?}");
        for pid in [init, program] {
            assert_eq!(scheduling(pid), ORDINARY, "{favour:?}");
        }
        assert!(has_cpu_group(program, &site), "{favour:?}");
    }
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
