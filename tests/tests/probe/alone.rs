//! Each capability alone, without a user namespace and without a filter: exactly what docs/threats.md says it opens.

use std::fs;

use northstar_tests::{Package, Site};

use crate::{compare, observe, package, section};

const ALONE: &str = include_str!("alone.expected");

/// Left out: with it the probe would take its own mounts away. What is not promised then stands in docs/threats.md.
const EVERYTHING: &str = "CAP_SYS_ADMIN";

/// All capabilities in the order of their numbers, capabilities(7).
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    EVERYTHING,
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

const SETS: [&str; 5] = [
    "ambient",
    "bounding",
    "effective",
    "inheritable",
    "permitted",
];

#[test]
fn each_capability_alone_opens_what_is_written_down() {
    let (given, missing): (Vec<_>, Vec<_>) = (0..)
        .zip(CAPABILITIES)
        .filter(|(_, name)| *name != EVERYTHING)
        .partition(|(number, _)| own_bounding_set() >> number & 1 == 1);
    let packages: Vec<Package> = given.iter().map(|(_, name)| holder(name)).collect();
    let observations = observe(&Site::new(), &packages);
    let mut wrong = String::new();
    for (number, name) in given {
        let bit = 1_u64 << number;
        let sets = SETS.map(|set| format!("\ncap.{set} = {bit:016x}"));
        let differences = section(ALONE, name) + &sets.concat();
        wrong.push_str(&compare(name, &observations[name], &differences));
    }
    assert!(wrong.is_empty(), "{wrong}");

    // What this machine does not have, nobody can give away.
    let site = Site::new();
    let holders: Vec<Package> = missing.iter().map(|(_, name)| holder(name)).collect();
    holders.iter().for_each(|holder| drop(site.pack(holder)));
    let daemon = site.start();
    for holder in holders {
        let container = holder.container();
        let failure = daemon.console().start_failure(&container);
        assert_eq!(
            (&*failure.step, failure.errno),
            ("capabilities", 1),
            "{container}"
        );
    }
    daemon.stop();
}

#[test]
fn page_says_of_each_capability_what_it_reaches() {
    let page = include_str!("../../../docs/threats.md");
    let (_, section) = page.split_once("\n## What capabilities reach\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section
        .lines()
        .filter_map(|line| line.strip_prefix("| CAP_"));
    let mut named: Vec<String> = rows
        .flat_map(|row| {
            let (first, _) = row.split_once(" |").unwrap();
            first.split(", CAP_").map(|name| format!("CAP_{name}"))
        })
        .collect();
    named.sort();
    let mut all = CAPABILITIES.to_vec();
    all.sort_unstable();
    assert_eq!(named, all);
}

fn holder(capability: &str) -> Package {
    package(capability).field(&format!("capabilities: [{capability}]"))
}

/// Of this process, and so of the daemon: proc_pid_status(5).
fn own_bounding_set() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
}
