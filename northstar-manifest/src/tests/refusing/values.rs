//! Values that are not allowed.

use super::super::program;
use crate::{FieldError, ManifestError, Problem};

/// The problem that `fields` are refused for and the field it is about.
pub(in crate::tests) fn problem(fields: &str) -> (String, Problem) {
    match program(fields) {
        Err(ManifestError::Field(FieldError {
            field,
            line: Some(line),
            problem,
        })) => {
            assert!(line >= 3, "{fields}: line {line}");
            (field, problem)
        }
        other => panic!("{fields}: {other:?}"),
    }
}

/// What is refused, the field that is named, and why.
pub(in crate::tests) fn cases() -> Vec<(&'static str, &'static str, Problem)> {
    let range = |value: i128, min: i128, max: i128| Problem::OutOfRange { value, min, max };
    let ids = i128::from(u32::MAX) - 1;
    let path = |path: &str| path.to_owned();
    vec![
        (
            "sched: {policy: !other {nice: 20}}",
            "sched.policy.nice",
            range(20, -20, 19),
        ),
        (
            "sched: {policy: !batch {nice: -21}}",
            "sched.policy.nice",
            range(-21, -20, 19),
        ),
        (
            "sched: {policy: !fifo {priority: 0}}",
            "sched.policy.priority",
            range(0, 1, 99),
        ),
        (
            "sched: {policy: !round_robin {priority: 100}}",
            "sched.policy.priority",
            range(100, 1, 99),
        ),
        (
            "sched: {policy: !deadline {runtime: 5000, deadline: 4000, period: 6000}}",
            "sched.policy",
            Problem::DeadlineOrder,
        ),
        (
            "mounts: {a: {type: dev}}",
            "mounts.a",
            Problem::NotAbsolute { path: path("a") },
        ),
        ("mounts: {/: {type: dev}}", "mounts./", Problem::RootMount),
        (
            "mounts: {/a/../b: {type: dev}}",
            "mounts./a/../b",
            Problem::DotComponent {
                path: path("/a/../b"),
            },
        ),
        (
            "mounts: {/a: {type: bind, host: b}}",
            "mounts./a.host",
            Problem::NotAbsolute { path: path("b") },
        ),
        (
            "mounts: {/a: {type: bind, host: /b/./c}}",
            "mounts./a.host",
            Problem::DotComponent {
                path: path("/b/./c"),
            },
        ),
        (
            "mounts: {/a: {type: resource, name: r, version: 1, dir: b}}",
            "mounts./a.dir",
            Problem::NotAbsolute { path: path("b") },
        ),
        (
            "mounts: {/a: {type: resource, name: r, version: 1, dir: /, options: rec}}",
            "mounts./a.options",
            Problem::MountOption {
                option: "rec",
                mount: "resource",
            },
        ),
        (
            "mounts: {/a: {type: tmpfs, size: 0}}",
            "mounts./a.size",
            range(0, 1, u64::MAX.into()),
        ),
        (
            "cgroups: {parent: /a}",
            "cgroups.parent",
            Problem::NotRelative { path: path("/a") },
        ),
        (
            "cgroups: {parent: a/../..}",
            "cgroups.parent",
            Problem::DotComponent {
                path: path("a/../.."),
            },
        ),
        ("cgroups: {parent: ''}", "cgroups.parent", Problem::Empty),
        (
            "cgroups: {cpu: {shares: 1}}",
            "cgroups.cpu.shares",
            range(1, 2, 262_144),
        ),
        (
            "cgroups: {pids: {max: 0}}",
            "cgroups.pids.max",
            range(0, 1, 4_194_304),
        ),
        (
            "cgroups: {memory: {attrs: {../x: 1}}}",
            "cgroups.memory.attrs.../x",
            Problem::Character {
                character: '/',
                allowed: "any but `/`",
            },
        ),
        (
            "cgroups: {cpu: {attrs: {'..': 1}}}",
            "cgroups.cpu.attrs...",
            Problem::DotComponent { path: path("..") },
        ),
        ("network: !namespace ''", "network", Problem::Empty),
        (
            "network: !namespace ../../proc/1/ns/net",
            "network",
            Problem::Character {
                character: '/',
                allowed: "any but `/`",
            },
        ),
        (
            "network: !namespace ..",
            "network",
            Problem::DotComponent { path: path("..") },
        ),
        (
            "seccomp: {}",
            "seccomp",
            Problem::NeedsOneOf {
                fields: "`profile` or `allow`",
            },
        ),
        (
            "seccomp: {allow: {fork: !args {index: 0}}}",
            "seccomp.allow.fork",
            Problem::NeedsOneOf {
                fields: "`values` or `mask`",
            },
        ),
        (
            "seccomp: {allow: {fork: !args {index: 6, mask: 1}}}",
            "seccomp.allow.fork.index",
            range(6, 0, 5),
        ),
        (
            "rlimits: {nproc: {soft: 2, hard: 1}}",
            "rlimits.nproc",
            Problem::SoftAboveHard { hard: 1 },
        ),
        (
            "rlimits: {nproc: {hard: 1}}",
            "rlimits.nproc",
            Problem::SoftAboveHard { hard: 1 },
        ),
        ("selinux: {exec: ''}", "selinux.exec", Problem::Empty),
        (
            "selinux: {mount_context: 'a,b'}",
            "selinux.mount_context",
            Problem::Character {
                character: ',',
                allowed: "ASCII letters, digits, `:` and `_`",
            },
        ),
        (
            "sockets: {a: {type: stream, mode: 0o1777}}",
            "sockets.a.mode",
            range(0o1777, 0, 0o777),
        ),
        (
            "sockets: {a: {type: stream, mode: 0, uid: 0}}",
            "sockets.a.uid",
            range(0, 1, ids),
        ),
        (
            "sockets: {a: {type: stream, mode: 0, gid: 0}}",
            "sockets.a.gid",
            range(0, 1, ids),
        ),
        (
            "sockets: {a/b: {type: stream, mode: 0}}",
            "sockets.a/b",
            Problem::Character {
                character: '/',
                allowed: "ASCII letters, digits, `.`, `_` and `-`",
            },
        ),
        (
            "env: {NORTHSTAR_NAME: a}",
            "env.NORTHSTAR_NAME",
            Problem::Reserved,
        ),
        (
            "env: {NORTHSTAR_VERSION: a}",
            "env.NORTHSTAR_VERSION",
            Problem::Reserved,
        ),
        (
            "env: {NORTHSTAR_CONTAINER: a}",
            "env.NORTHSTAR_CONTAINER",
            Problem::Reserved,
        ),
        (
            "env: {NORTHSTAR_CONSOLE: a}",
            "env.NORTHSTAR_CONSOLE",
            Problem::Reserved,
        ),
        (
            "env: {NORTHSTAR_SOCKET_x: a}",
            "env.NORTHSTAR_SOCKET_x",
            Problem::Reserved,
        ),
        ("env: {'': a}", "env.", Problem::Empty),
        (
            "env: {'A=B': a}",
            "env.A=B",
            Problem::Character {
                character: '=',
                allowed: "any but `=` and NUL",
            },
        ),
        ("env: {A: \"\\0\"}", "env.A", Problem::Nul),
        ("args: [\"a\\0\"]", "args.0", Problem::Nul),
        ("suppl_groups: ['']", "suppl_groups.0", Problem::Empty),
        (
            "suppl_groups: [a, b, a]",
            "suppl_groups",
            Problem::Duplicate {
                entry: "a".to_owned(),
            },
        ),
    ]
}

#[test]
fn values_that_are_not_allowed() {
    for (fields, field, expected) in cases() {
        assert_eq!(problem(fields), (field.to_owned(), expected), "{fields}");
    }
}
