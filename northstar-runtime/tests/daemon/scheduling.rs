//! What a container gets of the processors: one party among all, and nothing of what the daemon was favoured with.

use super::harness::{Daemon, SLEEP, Site, child};
use serde_json::json;
use std::{fs, path::Path, process::Command};

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

/// Nor has a container the right to favour itself because the daemon has it. To give it to a daemon takes
/// CAP_SYS_RESOURCE.
#[test]
fn vm_right_to_a_better_priority_is_not_inherited() {
    let site = Site::new();
    let asks = "rlimits: {rtprio: {soft: 2, hard: 3}, nice: {soft: 21, hard: 22}}";
    let containers = [("app", "", [0; 4]), ("asking", asks, [2, 3, 21, 22])];
    let containers =
        containers.map(|(name, more, limits)| (site.shell(name, SLEEP, more, ""), limits));
    let daemon = site.command();
    let mut command = Command::new("prlimit");
    command.args(["--rtprio=9:9", "--nice=39:39"]);
    command.arg(daemon.get_program()).args(daemon.get_args());
    let daemon = site.daemon_by(command);
    let mut console = daemon.console();
    for (container, limits) in containers {
        assert_eq!(console.start(&container), None);
        let text = fs::read_to_string(format!("/proc/{}/limits", program(&daemon))).unwrap();
        let values = ["Max realtime priority", "Max nice priority"].map(|name| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let mut values = line.unwrap().split_whitespace();
            [values.next(), values.next()].map(|value| value.unwrap().parse::<u64>().unwrap())
        });
        assert_eq!(values.concat(), limits, "{container}");
        assert_eq!(console.kill(&container, 9), None);
        console.exit_of(&container);
    }
}

/// A daemon that may take a policy by its limit alone, without the capability, can give it to a container, which then
/// cannot take it itself.
#[test]
fn vm_right_to_a_policy_suffices_to_give_it() {
    let site = Site::new();
    let more = "sched: {policy: !fifo {priority: 3}}";
    let container = site.shell("app", SLEEP, more, "");
    let daemon = site.command();
    let mut command = Command::new("prlimit");
    command.args(["--rtprio=9:9", "setpriv", "--bounding-set", "-sys_nice"]);
    command.arg(daemon.get_program()).args(daemon.get_args());
    let daemon = site.daemon_by(command);
    assert_eq!(daemon.console().start(&container), None);
    let program = program(&daemon);
    // Of the daemon: the capability has number 23.
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let capabilities = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:\t"));
    let capabilities = u64::from_str_radix(capabilities.unwrap(), 16).unwrap();
    assert_eq!(capabilities >> 23 & 1, 0);
    assert_eq!(scheduling(program), "0 3 1 none: prio 0");
}
