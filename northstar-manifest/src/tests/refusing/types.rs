//! Unknown fields, and values of the wrong type.

use super::super::program;
use crate::ManifestError;

/// What is refused, the field that is named, and a part of what is said about it.
pub(in crate::tests) const CASES: &[(&str, &str, &str)] = &[
    ("uid: 5", "uid", "duplicate"),
    ("frobnicate: 1", "frobnicate", "unknown field"),
    ("autostart: sometimes", "autostart", "sometimes"),
    ("userns: 1", "userns", "bool"),
    ("userns: yes", "userns", "bool"),
    ("args: one", "args", "a list"),
    ("env: [a]", "env", "a mapping"),
    ("io: {stdout: file}", "io.stdout", "file"),
    ("io: {stdin: pipe}", "io.stdin", "unknown field"),
    ("console: {}", "console", "`permissions`"),
    ("sched: {}", "sched", "`policy`"),
    ("cgroups: {pids: {}}", "cgroups.pids", "`max`"),
    (
        "cgroups: {cpu: {shares: -1}}",
        "cgroups.cpu.shares",
        "0 to 18446744073709551615",
    ),
    (
        "cgroups: {memory: {memory_hard_limit: 1G}}",
        "cgroups.memory.memory_hard_limit",
        "-9223372036854775808 to",
    ),
    ("console: full", "console", "a mapping"),
    (
        "console: {permissions: root}",
        "console.permissions",
        "full",
    ),
    (
        "console: {permissions: [root]}",
        "console.permissions.0",
        "token_verification",
    ),
    ("capabilities: [NET_RAW]", "capabilities.0", "CAP_NET_RAW"),
    (
        "capabilities: [CAP_KILL, CAP_KILL]",
        "capabilities",
        "twice",
    ),
    ("rlimits: {files: {soft: 1}}", "rlimits.files", "files"),
    (
        "rlimits: {nofile: {soft: -1}}",
        "rlimits.nofile.soft",
        "0 to 18446744073709551615",
    ),
    ("mounts: {/a: {type: nfs}}", "mounts./a.type", "nfs"),
    ("mounts: {/a: {host: /b}}", "mounts./a", "type"),
    ("mounts: {/a: {type: bind}}", "mounts./a", "host"),
    ("mounts: {/a: {type: dev, host: /b}}", "mounts./a", "`host`"),
    (
        "mounts: {/a: {type: tmpfs, size: big}}",
        "mounts./a.size",
        "KiB",
    ),
    (
        "mounts: {/a: {type: tmpfs, size: -1}}",
        "mounts./a.size",
        "64MiB",
    ),
    (
        "mounts: {/a: {type: bind, host: /b, options: fast}}",
        "mounts./a.options",
        "noexec",
    ),
    (
        "mounts: {/a: {type: bind, host: /b, options: [rw]}}",
        "mounts./a.options",
        "one plain value",
    ),
    (
        "mounts: {/a: {type: resource, name: r, version: new, dir: /}}",
        "mounts./a.version",
        "`>=1.2, <2`",
    ),
    (
        "mounts: {/a: {type: dev}, /a/: {type: dev}}",
        "mounts",
        "twice",
    ),
    ("sched: {policy: fast}", "sched.policy", "round_robin"),
    ("sched: {policy: other}", "sched.policy", "nice"),
    ("sched: {policy: !idle {nice: 1}}", "sched.policy", "idle"),
    (
        "sched: {policy: !fifo {nice: 1}}",
        "sched.policy",
        "priority",
    ),
    (
        "sched: {policy: !other {nice: 1000}}",
        "sched.policy",
        "-20 to 19",
    ),
    ("seccomp: {profile: strict}", "seccomp.profile", "strict"),
    (
        "seccomp: {allow: {fork: never}}",
        "seccomp.allow.fork",
        "never",
    ),
    (
        "seccomp: {allow: {fork: !args {values: [1]}}}",
        "seccomp.allow.fork",
        "index",
    ),
    ("network: bridge", "network", "bridge"),
    ("sockets: {a: {type: stream}}", "sockets.a", "mode"),
    (
        "sockets: {a: {type: stream, mode: 0660}}",
        "sockets.a.mode",
        "0o600",
    ),
    (
        "sockets: {a: {type: raw, mode: 1}}",
        "sockets.a.type",
        "raw",
    ),
    (
        "cgroups: {devices: [{type: char, access: x}]}",
        "cgroups.devices.0.access",
        "`r`, `w` and `m`",
    ),
    ("cgroups: {net: {}}", "cgroups.net", "unknown field"),
    ("env: {A: 1, A: 2}", "env.A", "duplicate"),
    ("custom: {a: {b: 1, b: 2}}", "custom.a.b", "duplicate"),
    ("custom: .nan", "custom", ""),
];

#[test]
fn wrong_types_name_the_field_and_the_line() {
    for (fields, at, says) in CASES.iter().copied() {
        match program(fields) {
            Err(ManifestError::Type {
                field,
                line: Some(line),
                message,
            }) => {
                assert_eq!((field.as_str(), line), (at, 6), "{fields}: {message}");
                assert!(message.contains(says), "{fields}: {message}");
                assert!(!message.contains("column"), "{fields}: {message}");
            }
            other => panic!("{fields}: {other:?}"),
        }
    }
}
