//! Manifests that no packer would write, in packages with a valid signature: each is refused with an error that names
//! what is wrong, or its start is; nothing on the host changes and the daemon lives.

use std::fs;

use northstar_tests::{Canary, Package, Site, raw};
use serde_json::{Value, json};

/// Where and how a manifest is refused.
#[derive(Debug, Clone, Copy)]
enum Refused {
    /// When it is installed; the answer names this.
    Install(&'static str),
    /// When it is started; the answer names this.
    Start(&'static str),
}

use Refused::{Install, Start};

/// Keys that a case does not bring along.
const USUAL: &[(&str, &str)] = &[
    ("name", "hostile"),
    ("version", "0.0.1"),
    ("uid", "1000"),
    ("gid", "1000"),
    ("init", "/test-container"),
    ("args", "[exit, '0']"),
];

/// Lines of YAML that take the place of the usual ones, and what must come of them.
const CASES: &[(&str, Refused)] = &[
    // Names become directories and groups.
    ("name: ..", Install("name")),
    ("name: .", Install("name")),
    ("name: ''", Install("name")),
    ("name: ../../etc", Install("name")),
    ("name: /etc", Install("name")),
    ("name: a/b", Install("name")),
    ("name: .hidden", Install("name")),
    ("name: -rf", Install("name")),
    ("name: 'a b'", Install("name")),
    ("name: \"a\\0b\"", Install("name")),
    ("name: \"a\\nb\"", Install("name")),
    ("name: äöü", Install("name")),
    (
        "name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        Install("name"),
    ),
    ("name: {a: b}", Install("name")),
    ("name: [a]", Install("name")),
    // Versions.
    ("version: 1", Install("version")),
    ("version: ../..", Install("version")),
    ("version: 1.0.0/../..", Install("version")),
    ("version: 99999999999999999999.0.0", Install("version")),
    ("version: ''", Install("version")),
    // Users.
    ("uid: 0", Install("uid")),
    ("gid: 0", Install("gid")),
    ("uid: -1", Install("uid")),
    ("uid: 4294967295", Install("uid")),
    ("uid: 4294967296", Install("uid")),
    ("gid: 4294967295", Install("gid")),
    ("uid: root", Install("uid")),
    ("uid: '0'", Install("uid")),
    ("uid: 0x0", Install("uid")),
    ("uid: 1.5", Install("uid")),
    ("uid: ", Install("uid")),
    (
        "suppl_groups: [no-such-group-anywhere]",
        Start("no-such-group-anywhere"),
    ),
    ("suppl_groups: ['../root']", Start("../root")),
    ("suppl_groups: root", Install("suppl_groups")),
    // The program.
    ("init: ''", Install("init")),
    ("init: \"/test\\0container\"", Install("init")),
    ("init: /proc/1/exe", Start("execve")),
    ("init: /../../../../bin/sh", Start("execve")),
    ("init: /no/such/program", Start("execve")),
    ("init: [/bin/sh]", Install("init")),
    ("args: [\"a\\0b\"]", Install("args")),
    ("args: {a: b}", Install("args")),
    ("env: {'A=B': c}", Install("env")),
    ("env: {'': c}", Install("env")),
    ("env: {\"A\\0\": c}", Install("env")),
    ("env: {A: \"\\0\"}", Install("env")),
    ("env: {NORTHSTAR_CONSOLE: '3'}", Install("env")),
    ("env: {NORTHSTAR_NAME: other}", Install("env")),
    ("env: {NORTHSTAR_SOCKET_x: '3'}", Install("env")),
    ("env: [LD_PRELOAD]", Install("env")),
    // Mounts.
    ("mounts: {/: {type: tmpfs, size: 1}}", Install("mounts")),
    ("mounts: {relative: {type: proc}}", Install("mounts")),
    ("mounts: {/../x: {type: proc}}", Install("mounts")),
    ("mounts: {/a/../../x: {type: proc}}", Install("mounts")),
    ("mounts: {/./x: {type: proc}}", Install("mounts")),
    ("mounts: {'': {type: proc}}", Install("mounts")),
    ("mounts: {\"/a\\0b\": {type: proc}}", Install("mounts")),
    ("mounts: {/x: {type: overlay}}", Install("mounts")),
    ("mounts: {/x: {type: cgroup}}", Install("mounts")),
    ("mounts: {/x: {type: [proc, dev]}}", Install("mounts")),
    ("mounts: {/x: {type: proc, options: rw}}", Install("mounts")),
    ("mounts: {/x: {type: tmpfs, size: 0}}", Install("mounts")),
    ("mounts: {/x: {type: tmpfs, size: -1}}", Install("mounts")),
    (
        "mounts: {/x: {type: tmpfs, size: 99999999999999999999}}",
        Install("mounts"),
    ),
    ("mounts: {/x: {type: tmpfs}}", Install("mounts")),
    (
        "mounts: {/x: {type: bind, host: ../etc}}",
        Install("mounts"),
    ),
    (
        "mounts: {/x: {type: bind, host: /tmp/../etc}}",
        Install("mounts"),
    ),
    ("mounts: {/x: {type: bind, host: ''}}", Install("mounts")),
    (
        "mounts: {/x: {type: bind, host: /etc, options: 'suid'}}",
        Install("mounts"),
    ),
    (
        "mounts: {/x: {type: bind, host: /etc, options: 'rw,dev'}}",
        Install("mounts"),
    ),
    (
        "mounts: {/x: {type: bind, host: /etc, options: [rw]}}",
        Install("mounts"),
    ),
    (
        "mounts: {/x: {type: bind, host: /no/such/source}}",
        Start("/no/such/source"),
    ),
    (
        "mounts: {/x: {type: bind, host: /no/such/\u{fffd}}}",
        Start("/no/such/"),
    ),
    (
        "mounts: {/x: {type: resource, name: ../.., version: '*', dir: /}}",
        Install("mounts"),
    ),
    (
        "mounts: {/x: {type: resource, name: message, version: '*', dir: ../..}}",
        Install("mounts"),
    ),
    (
        "mounts: {/x: {type: resource, name: message, version: '*', dir: /../..}}",
        Install("mounts"),
    ),
    (
        "mounts: {/x: {type: resource, name: message, version: 'newest', dir: /}}",
        Install("mounts"),
    ),
    (
        "mounts: {/x: {type: resource, name: message, version: '*', dir: /, options: 'rec'}}",
        Install("mounts"),
    ),
    (
        "mounts: {/x: {type: resource, name: nowhere, version: '*', dir: /, options: ''}}",
        Start("nowhere"),
    ),
    ("mounts: {/x: {type: proc}, /x: {type: dev}}", Install("/x")),
    (
        "mounts: {/x: {type: proc}, /x/: {type: dev}}",
        Install("mounts"),
    ),
    ("mounts: {/not/in/the/image: {type: proc}}", Start("mount")),
    // Below a file, on a file, on something that is there already, on what hides something.
    (
        "mounts: {/test-container/x: {type: proc}}",
        Start("/test-container/x"),
    ),
    (
        "mounts: {/test-container: {type: persist}}",
        Start("/test-container"),
    ),
    (
        "mounts: {/test-container: {type: resource, name: message, version: '*', dir: /text}}",
        Start("execve"),
    ),
    (
        "mounts: {/proc: {type: resource, name: message, version: '*', dir: /text}}",
        Start("/proc"),
    ),
    (
        "mounts: {/proc: {type: resource, name: message, version: '*', dir: /no/such/dir}}",
        Start("/no/such/dir"),
    ),
    (
        "mounts: {/proc: {type: resource, name: message, version: '*', dir: /}, /proc/data: {type: persist}}",
        Start("/proc/data"),
    ),
    (
        "mounts: {/dev: {type: dev}, /dev/shm: {type: tmpfs, size: 1}}",
        Start("/dev/shm"),
    ),
    (
        "mounts: {/proc: {type: proc}, /proc/1: {type: tmpfs, size: 1}}",
        Start("/proc/1"),
    ),
    (
        "mounts: {/proc: {type: proc}, /proc/self/root: {type: tmpfs, size: 1}}",
        Start("/proc/self/root"),
    ),
    (
        "mounts: {/proc: {type: proc}, /proc/1/root/dev: {type: dev}}",
        Start("/proc/1/root/dev"),
    ),
    (
        "mounts: {/proc: {type: proc}, /proc/keys: {type: bind, host: /proc/keys}}",
        Start("/proc/keys"),
    ),
    // Namespaces.
    (
        "network: !namespace ../../proc/1/ns/net",
        Install("network"),
    ),
    ("network: !namespace /proc/1/ns/net", Install("network")),
    ("network: !namespace ..", Install("network")),
    ("network: !namespace ''", Install("network")),
    (
        "network: !namespace no-such-namespace",
        Start("no-such-namespace"),
    ),
    ("network: none-of-these", Install("network")),
    // System calls and capabilities.
    ("seccomp: {}", Install("seccomp")),
    ("seccomp: {profile: none}", Install("seccomp")),
    (
        "seccomp: {allow: {no_such_call: any}}",
        Start("no_such_call"),
    ),
    ("seccomp: {allow: {read: all}}", Install("seccomp")),
    (
        "seccomp: {allow: {read: !args {index: 6, values: [1]}}}",
        Install("seccomp"),
    ),
    (
        "seccomp: {allow: {read: !args {index: 0}}}",
        Install("seccomp"),
    ),
    ("capabilities: [CAP_EVERYTHING]", Install("capabilities")),
    ("capabilities: CAP_SYS_ADMIN", Install("capabilities")),
    ("capabilities: [-1]", Install("capabilities")),
    // Limits.
    ("rlimits: {nofile: {soft: 10, hard: 5}}", Install("rlimits")),
    ("rlimits: {nofile: -1}", Install("rlimits")),
    (
        "rlimits: {no_such_limit: {soft: 1, hard: 1}}",
        Install("rlimits"),
    ),
    (
        "rlimits: {nofile: {soft: null, hard: null}}",
        Start("rlimit"),
    ),
    ("sched: {policy: !fifo {priority: 100}}", Install("sched")),
    ("sched: {policy: !other {nice: 99}}", Install("sched")),
    ("sched: {policy: realtime}", Install("sched")),
    ("sched: {policy: deadline}", Start("deadline")),
    (
        "sched: {policy: !deadline {runtime: 3000000, deadline: 2000000, period: 2000000}}",
        Install("sched"),
    ),
    (
        "sched: {policy: !deadline {runtime: 1000, deadline: 2000000, period: 2000000}}",
        Install("sched"),
    ),
    (
        "sched: {policy: !deadline {runtime: 1024, deadline: 1025, period: 1026}}",
        Start("scheduler"),
    ),
    (
        "sched: {policy: !deadline {runtime: 9223372036854775807, deadline: 9223372036854775807, period: 9223372036854775807}}",
        Start("scheduler"),
    ),
    (
        "rlimits: {nice: {soft: 41, hard: 41}, nofile: {soft: 4294967296, hard: 4294967296}}",
        Start("rlimit"),
    ),
    ("cgroups: {pids: {max: 1}}", Start("fork")),
    ("cgroups: {cpu: {cpus: '4000'}}", Start("cpuset.cpus")),
    (
        "cgroups: {cpu: {cpus: '0-99999999999'}}",
        Start("cpuset.cpus"),
    ),
    ("cgroups: {cpu: {cpus: ','}}", Start("names none")),
    ("cgroups: {cpu: {mems: '63'}}", Start("cpuset.mems")),
    ("cgroups: {cpu: {quota: 0}}", Start("quota")),
    ("cgroups: {cpu: {quota: 1}}", Start("1")),
    (
        "cgroups: {cpu: {realtime_runtime: 999999999}}",
        Start("cpu.rt_runtime_us"),
    ),
    (
        "cgroups: {cpu: {attrs: {cgroup.procs: '1'}}}",
        Start("cgroup.procs"),
    ),
    (
        "cgroups: {cpu: {attrs: {cpu.no_such_file: '1'}}}",
        Start("cpu.no_such_file"),
    ),
    (
        "cgroups: {memory: {attrs: {cpu.shares: '2'}}}",
        Start("cpu.shares"),
    ),
    ("cgroups: {memory: {memory_hard_limit: 0}}", Start("memory")),
    (
        "cgroups: {memory: {memory_hard_limit: 4096}}",
        Start("memory"),
    ),
    (
        "cgroups: {memory: {memory_hard_limit: 65536}}",
        Start("memory"),
    ),
    (
        "cgroups: {memory: {memory_hard_limit: 20000000, memory_swap_limit: 10000000}}",
        Start("mem"),
    ),
    (
        "cgroups: {blkio: {throttle_read_bps_device: [{major: 4000, minor: 1, rate: 5}]}}",
        Start("4000:1"),
    ),
    (
        "cgroups: {blkio: {throttle_write_iops_device: [{major: 18446744073709551615, minor: 1, rate: 5}]}}",
        Start("18446744073709551615:1"),
    ),
    (
        "cgroups: {blkio: {weight_device: [{major: 4000, minor: 1, weight: 100}]}}",
        Start("4000:1 "),
    ),
    ("cgroups: {blkio: {weight: 10000}}", Start("weight")),
    (
        "cgroups: {devices: [{type: char, major: 4294967295, minor: 1, access: r}]}",
        Start("4294967295:1"),
    ),
    (
        "cgroups: {devices: [{type: char, major: 1, minor: 1048576, access: r}]}",
        Start("1:1048576"),
    ),
    ("cgroups: {parent: memory.max}", Start("memory.max")),
    ("cgroups: {parent: 'a b'}", Start("a b")),
    ("cgroups: {parent: .hidden}", Start(".hidden")),
    ("cgroups: {parent: ../..}", Install("cgroups")),
    ("cgroups: {parent: /}", Install("cgroups")),
    ("cgroups: {parent: /escape}", Install("cgroups")),
    (
        "cgroups: {memory: {memory_hard_limit: lots}}",
        Install("cgroups"),
    ),
    ("cgroups: {pids: {max: -1}}", Install("cgroups")),
    (
        "cgroups: {memory: {attrs: {../release_agent: /x}}}",
        Install("cgroups"),
    ),
    (
        "cgroups: {devices: [{type: b, major: -1, minor: 0, access: rwm}]}",
        Install("cgroups"),
    ),
    ("cgroups: {release_agent: /x}", Install("cgroups")),
    // Sockets, console, output, labels.
    (
        "sockets: {'../x': {type: stream, mode: 0o600}}",
        Install("sockets"),
    ),
    (
        "sockets: {'a/b': {type: stream, mode: 0o600}}",
        Install("sockets"),
    ),
    (
        "sockets: {'': {type: stream, mode: 0o600}}",
        Install("sockets"),
    ),
    ("sockets: {x: {type: raw, mode: 0o600}}", Install("sockets")),
    ("sockets: {x: {type: stream}}", Install("sockets")),
    (
        "sockets: {x: {type: stream, mode: 0o7777777}}",
        Install("sockets"),
    ),
    (
        "sockets: {x: {type: stream, mode: 0o600}, x: {type: stream, mode: 0o666}}",
        Install("x"),
    ),
    ("console: {permissions: [everything]}", Install("console")),
    ("console: {permissions: root}", Install("console")),
    ("io: {stdout: tty, stderr: pipe}", Install("io")),
    ("selinux: {exec: \"a\\0b\"}", Install("selinux")),
    ("autostart: always", Install("autostart")),
    // YAML itself.
    ("root: true", Install("root")),
    ("uid: 1000\nuid: 1001", Install("uid")),
    ("args: &a [x]\nsuppl_groups: *a", Install("anchor")),
    ("args: *nowhere", Install("alias")),
    ("custom: !!python/object x", Install("tag")),
    ("env:\n  <<: {A: b}", Install("merge")),
    ("---\nname: second", Install("document")),
    (
        "custom: [[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]",
        Install("deep"),
    ),
    ("custom: {a: }}", Install("line")),
    ("\tuid: 1", Install("line")),
    ("name: \"unclosed", Install("line")),
    ("\u{0}", Install("line")),
];

fn manifest(case: &str) -> String {
    let brings = |key: &str| {
        case.lines()
            .any(|line| line.starts_with(&format!("{key}:")))
    };
    let mut lines: Vec<String> = USUAL
        .iter()
        .filter(|(key, _)| !brings(key))
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    if !brings("mounts") {
        lines.push("mounts: {/proc: {type: proc}, /dev: {type: dev}}".to_owned());
    }
    lines.push(case.to_owned());
    lines.join("\n") + "\n"
}

/// What an error says, whatever it is called.
fn said(answer: &Value) -> Option<String> {
    let error = answer
        .pointer("/install/error/error")
        .or_else(|| answer.pointer("/start/error/error"))?;
    let (kind, data) = error.as_object()?.iter().next()?;
    Some(format!("{kind} {data}"))
}

#[test]
fn every_hostile_manifest_is_refused_where_it_should_be() {
    assert!(CASES.len() >= 100, "only {} cases", CASES.len());
    let site = Site::new();
    let outside = tempfile::tempdir().unwrap();
    let original = Package::app("original", &["exit", "0"])
        .field("suppl_groups: []")
        .pack(outside.path(), Some(&site.key()));
    site.pack(&Package::resource("message", "0.0.1", "text", "hello"));
    let canary = Canary::new(site.path());
    let mut daemon = site.start();
    let mut console = daemon.console();
    let mut wrong = Vec::new();
    for (case, expected) in CASES {
        let package = outside.path().join("hostile.npk");
        fs::write(
            &package,
            raw::signed(&original, manifest(case).as_bytes(), &site.key()),
        )
        .unwrap();
        let installed = console.install("default", &package);
        let found = match (expected, said(&installed)) {
            (Install(_), Some(said)) => Some(said),
            (Start(_), None) => said(&console.start("hostile:0.0.1")),
            (_, said) => {
                wrong.push(format!(
                    "{case:?}: {expected:?}, but installing it answered {said:?}"
                ));
                None
            }
        };
        if let Some(found) = found {
            let (Install(name) | Start(name)) = expected;
            let is_typed = ["unexpected", "start_container"]
                .iter()
                .any(|kind| found.starts_with(kind));
            if !is_typed || !found.contains(name) {
                wrong.push(format!("{case:?}: {expected:?}, but {found}"));
            }
        } else if matches!(expected, Start(_)) {
            wrong.push(format!("{case:?}: it starts"));
        }
        // Whatever happened, the next one begins anew.
        let _ = console.kill("hostile:0.0.1", 9);
        console.request(&json!({"uninstall": {"container": "hostile:0.0.1", "wipe": true}}));
        canary.assert_untouched(case);
        assert!(daemon.is_running(), "the daemon died of {case:?}");
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        CASES.len(),
        wrong.join("\n")
    );
    assert_eq!(
        console.request(&json!("list")),
        json!({"list": ["message:0.0.1"]})
    );
    daemon.stop();
    canary.assert_untouched("the end of the daemon");
}

/// The same in the directory of a repository: none of them is listed, and none keeps the daemon from its start.
#[test]
fn hostile_manifests_in_a_repository_do_not_stop_the_start() {
    let site = Site::new();
    let outside = tempfile::tempdir().unwrap();
    let original = Package::app("original", &["exit", "0"]).pack(outside.path(), Some(&site.key()));
    let refused = CASES
        .iter()
        .filter(|(_, refused)| matches!(refused, Install(_)));
    assert!(refused.clone().count() >= 100);
    for (number, (case, _)) in refused.enumerate() {
        let package = raw::signed(&original, manifest(case).as_bytes(), &site.key());
        fs::write(site.repository().join(format!("{number}.npk")), package).unwrap();
    }
    site.pack(&Package::app("good", &["exit", "0"]));
    let daemon = site.start();
    let mut console = daemon.console();
    assert_eq!(
        console.request(&json!("list")),
        json!({"list": ["good:0.0.1"]})
    );
    console.start_ok("good:0.0.1");
    assert_eq!(
        console.expect_exit("good:0.0.1"),
        json!({"exit": {"code": 0}})
    );
    daemon.stop();
}
