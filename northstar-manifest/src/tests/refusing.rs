//! What is refused, and what the error says.

use super::{BASE, program};
use crate::{Construct, FieldError, Manifest, ManifestError, Problem};

/// The construct that `fields` are refused for, and its line below the common fields.
fn construct(fields: &str) -> (u64, Construct) {
    match program(fields) {
        Err(ManifestError::Construct { line, construct }) => (line - 5, construct),
        other => panic!("{fields}: {other:?}"),
    }
}

#[test]
fn yaml_that_manifests_do_not_need() {
    let tag = |tag: &str| Construct::Tag {
        tag: tag.to_owned(),
    };
    let cases = [
        ("custom: &x 1", Construct::Anchor),
        ("custom: &x [1]", Construct::Anchor),
        ("custom: [&x {}]", Construct::Anchor),
        ("custom: *x", Construct::Alias),
        ("custom: {<<: {a: b}}", Construct::MergeKey),
        ("custom: {[a]: b}", Construct::ComplexKey),
        ("custom: {? {a: b} : c}", Construct::ComplexKey),
        ("custom: !x 1", tag("!x")),
        ("custom: !!str 1", tag("tag:yaml.org,2002:str")),
        ("custom: !!binary aGk=", tag("tag:yaml.org,2002:binary")),
        ("custom: !<tag:x,2000:y> 1", tag("tag:x,2000:y")),
        ("custom: ! 1", tag("!")),
        ("custom: !include /etc/passwd", tag("!include")),
        ("custom: {!x a: b}", tag("!x")),
        ("custom: !other {nice: 0}", tag("!other")),
        ("args: [!args a]", tag("!args")),
        ("network: !host", tag("!host")),
        ("autostart: !relaxed", tag("!relaxed")),
        ("sched: !other {nice: 0}", tag("!other")),
        ("seccomp: {allow: {fork: !any }}", tag("!any")),
        ("env: {A: {B: }}", Construct::Mapping),
        ("args: [{a: }]", Construct::Mapping),
        ("cgroups: {cpu: {attrs: {a: {b: ~}}}}", Construct::Mapping),
    ];
    for (fields, expected) in cases {
        assert_eq!(construct(fields), (1, expected), "{fields}");
    }
    let second = format!("{BASE}---\n{BASE}");
    assert!(matches!(
        Manifest::from_yaml(second.as_bytes()),
        Err(ManifestError::Construct {
            line: 5,
            construct: Construct::MultipleDocuments
        })
    ));
}

#[test]
fn a_tag_directive_gives_no_other_meaning() {
    let text = format!("%TAG ! tag:evil,2000:\n---\n{BASE}sched: {{policy: !other {{nice: 0}}}}\n");
    let error = Manifest::from_yaml(text.as_bytes()).unwrap_err();
    assert!(matches!(
        error,
        ManifestError::Construct {
            construct: Construct::Tag { .. },
            ..
        }
    ));
}

#[test]
fn nesting() {
    let nested = |levels: usize| {
        let fields = format!("custom: {}{}", "[".repeat(levels), "]".repeat(levels));
        program(&fields)
    };
    // The manifest itself is one level.
    nested(15).unwrap();
    for levels in [16, 17, 200, 10_000] {
        let error = nested(levels).unwrap_err();
        let is_expected = matches!(
            error,
            ManifestError::Construct {
                construct: Construct::Depth { limit: 16 },
                ..
            } | ManifestError::Syntax { .. }
        );
        assert!(is_expected, "{levels}: {error:?}");
    }
}

#[test]
fn size_and_encoding() {
    let filled = |size: usize| format!("{BASE}#{}", "x".repeat(size - BASE.len() - 1));
    Manifest::from_yaml(filled(65_536).as_bytes()).unwrap();
    assert!(matches!(
        Manifest::from_yaml(filled(65_537).as_bytes()),
        Err(ManifestError::TooLarge {
            size: 65_537,
            limit: 65_536
        })
    ));
    let mut bytes = BASE.as_bytes().to_vec();
    bytes.extend(b"init: \xff\n");
    assert!(matches!(
        Manifest::from_yaml(&bytes),
        Err(ManifestError::NotUtf8 { .. })
    ));
    assert!(matches!(
        Manifest::from_yaml(b"name: [\n"),
        Err(ManifestError::Syntax { line: 1, .. })
    ));
    assert!(matches!(
        Manifest::from_yaml(b""),
        Err(ManifestError::Type { .. })
    ));
    assert!(matches!(
        Manifest::from_yaml(b"- a\n"),
        Err(ManifestError::Type { .. })
    ));
}

#[test]
fn wrong_types_name_the_field_and_the_line() {
    let cases = [
        ("uid: 5", "uid", "duplicate"),
        ("frobnicate: 1", "frobnicate", "unknown field"),
        ("autostart: sometimes", "autostart", "sometimes"),
        ("userns: 1", "userns", "bool"),
        ("userns: yes", "userns", "bool"),
        ("args: one", "args", "sequence"),
        ("env: [a]", "env", "map"),
        ("io: {stdout: file}", "io.stdout", "file"),
        ("io: {stdin: pipe}", "io.stdin", "unknown field"),
        ("console: full", "console", ""),
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
        ("rlimits: {nofile: {soft: -1}}", "rlimits.nofile.soft", ""),
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
            "",
        ),
        (
            "mounts: {/a: {type: bind, host: /b, options: fast}}",
            "mounts./a.options",
            "noexec",
        ),
        (
            "mounts: {/a: {type: bind, host: /b, options: [rw]}}",
            "mounts./a.options",
            "",
        ),
        (
            "mounts: {/a: {type: resource, name: r, version: new, dir: /}}",
            "mounts./a.version",
            "",
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
            "sockets.a",
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
    for (fields, at, says) in cases {
        match program(fields) {
            Err(ManifestError::Type {
                field,
                line: Some(line),
                message,
            }) => {
                // Parsers may place an error at the value or at the mapping around it.
                assert!(
                    field.starts_with(at) || at.starts_with(&field),
                    "{fields}: {field}"
                );
                assert!(
                    field == at || !field.is_empty(),
                    "{fields}: no field in {message}"
                );
                assert!((5..=6).contains(&line), "{fields}: line {line}");
                assert!(message.contains(says), "{fields}: {message}");
                assert!(!message.contains("column"), "{fields}: {message}");
            }
            other => panic!("{fields}: {other:?}"),
        }
    }
}

#[test]
fn missing_fields_are_named() {
    for field in ["name", "version", "uid", "gid"] {
        let text: String = BASE
            .lines()
            .filter(|l| !l.starts_with(field))
            .map(|l| format!("{l}\n"))
            .collect();
        match Manifest::from_yaml(text.as_bytes()) {
            Err(ManifestError::Type {
                field: at, message, ..
            }) => {
                assert_eq!(at, "");
                assert!(message.contains(&format!("`{field}`")), "{message}");
            }
            other => panic!("{field}: {other:?}"),
        }
    }
}

/// The problem that `fields` are refused for and the field it is about.
pub(super) fn problem(fields: &str) -> (String, Problem) {
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

#[test]
fn values_that_are_not_allowed() {
    let range = |value: i128, min: i128, max: i128| Problem::OutOfRange { value, min, max };
    let ids = i128::from(u32::MAX) - 1;
    let path = |path: &str| path.to_owned();
    let cases = [
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
    ];
    for (fields, field, expected) in cases {
        assert_eq!(problem(fields), (field.to_owned(), expected), "{fields}");
    }
}

#[test]
fn ids_are_neither_root_nor_none() {
    for (field, other) in [("uid", "gid"), ("gid", "uid")] {
        for id in [0, u32::MAX] {
            let text = format!("name: a\nversion: 0.0.1\n{field}: {id}\n{other}: 1\n");
            match Manifest::from_yaml(text.as_bytes()) {
                Err(ManifestError::Field(error)) => {
                    assert_eq!((error.field.as_str(), error.line), (field, Some(3)));
                    assert!(matches!(error.problem, Problem::OutOfRange { min: 1, .. }));
                }
                other => panic!("{other:?}"),
            }
        }
        let text = format!("name: a\nversion: 0.0.1\n{field}: 100000\n{other}: 4294967294\n");
        Manifest::from_yaml(text.as_bytes()).unwrap();
    }
}

#[test]
fn resources_have_no_fields_of_programs() {
    for (field, value) in [
        ("args", "[a]"),
        ("env", "{A: b}"),
        ("autostart", "relaxed"),
        ("cgroups", "{}"),
        ("seccomp", "{profile: default}"),
        ("capabilities", "[CAP_KILL]"),
        ("suppl_groups", "[a]"),
        ("io", "{stdout: pipe}"),
        ("userns", "true"),
    ] {
        let text = format!("{BASE}{field}: {value}\n");
        match Manifest::from_yaml(text.as_bytes()) {
            Err(ManifestError::Field(error)) => {
                let expected = (field, Some(5), Problem::NotInResource);
                assert_eq!((error.field.as_str(), error.line, error.problem), expected);
            }
            other => panic!("{field}: {other:?}"),
        }
        program(&format!("{field}: {value}\n")).unwrap();
    }
    Manifest::from_yaml(format!("{BASE}custom: 1\nmounts: {{/a: {{type: dev}}}}\n").as_bytes())
        .unwrap();
}

#[test]
fn messages_read_like_sentences() {
    let cases = [
        (
            "mounts:\n  /t:\n    type: tmpfs\n    size: 0\n",
            "line 9: `mounts./t.size`: is 0: 1 to 18446744073709551615 is allowed",
        ),
        ("custom: *x\n", "line 6: aliases (`*name`) are not allowed"),
        (
            "env: {NORTHSTAR_NAME: x}\n",
            "line 6: `env.NORTHSTAR_NAME`: is reserved for the runtime",
        ),
        (
            "uid: x\n",
            "line 6: `uid`: duplicate mapping key `uid` is not allowed here",
        ),
    ];
    for (fields, message) in cases {
        assert_eq!(program(fields).unwrap_err().to_string(), message);
    }
}
