//! What is refused, and what the error says.

pub(super) mod types;
pub(super) mod values;

use super::{BASE, program};
use crate::{Construct, Manifest, ManifestError, Problem};

/// The construct that `fields` are refused for, the field it is in, and its line below the common fields.
fn construct(fields: &str) -> (String, u64, Construct) {
    match program(fields) {
        Err(ManifestError::Construct {
            field,
            line,
            construct,
        }) => (field, line - 5, construct),
        other => panic!("{fields}: {other:?}"),
    }
}

const POLICIES: &[&str] = &["other", "fifo", "round_robin", "batch", "idle", "deadline"];

#[test]
fn yaml_that_manifests_do_not_need() {
    let foreign = |tag: &str, allowed| Construct::Tag {
        tag: tag.to_owned(),
        allowed,
    };
    let tag = |tag: &str| foreign(tag, &[]);
    let cases = [
        ("custom: &x 1", "custom", Construct::Anchor),
        ("custom: &x [1]", "custom", Construct::Anchor),
        ("custom: [&x {}]", "custom.0", Construct::Anchor),
        ("custom: *x", "custom", Construct::Alias),
        ("custom: {<<: {a: b}}", "custom", Construct::MergeKey),
        ("custom: {[a]: b}", "custom", Construct::ComplexKey),
        ("custom: {? {a: b} : c}", "custom", Construct::ComplexKey),
        ("custom: !x 1", "custom", tag("!x")),
        ("custom: !!str 1", "custom", tag("tag:yaml.org,2002:str")),
        (
            "custom: !!binary aGk=",
            "custom",
            tag("tag:yaml.org,2002:binary"),
        ),
        ("custom: !<tag:x,2000:y> 1", "custom", tag("tag:x,2000:y")),
        ("custom: ! 1", "custom", tag("!")),
        ("custom: !include /etc/passwd", "custom", tag("!include")),
        ("custom: {!x a: b}", "custom", tag("!x")),
        (
            "custom: {a: [1, !other {nice: 0}]}",
            "custom.a.1",
            tag("!other"),
        ),
        ("args: [!args a]", "args.0", tag("!args")),
        (
            "network: !host",
            "network",
            foreign("!host", &["namespace"]),
        ),
        ("autostart: !relaxed", "autostart", tag("!relaxed")),
        ("sched: !other {nice: 0}", "sched", tag("!other")),
        (
            "sched: {policy: !nice 0}",
            "sched.policy",
            foreign("!nice", POLICIES),
        ),
        (
            "seccomp: {allow: {fork: !any }}",
            "seccomp.allow.fork",
            foreign("!any", &["args"]),
        ),
        ("env: {A: {B: }}", "env.A", Construct::Mapping),
        ("args: [{a: }]", "args.0", Construct::Mapping),
        (
            "cgroups: {cpu: {attrs: {a: {b: ~}}}}",
            "cgroups.cpu.attrs.a",
            Construct::Mapping,
        ),
    ];
    for (fields, field, expected) in cases {
        assert_eq!(
            construct(fields),
            (field.to_owned(), 1, expected),
            "{fields}"
        );
    }
    let second = format!("{BASE}---\n{BASE}");
    assert!(matches!(
        Manifest::from_yaml(second.as_bytes()),
        Err(ManifestError::Construct {
            line: 5,
            construct: Construct::MultipleDocuments,
            ..
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

/// Fields that resources do not have, with a value that a program may give them.
pub(super) const OF_PROGRAMS: &[(&str, &str)] = &[
    ("args", "[a]"),
    ("env", "{A: b}"),
    ("autostart", "relaxed"),
    ("cgroups", "{}"),
    ("seccomp", "{profile: default}"),
    ("capabilities", "[CAP_KILL]"),
    ("suppl_groups", "[a]"),
    ("io", "{stdout: pipe}"),
    ("userns", "true"),
];

#[test]
fn resources_have_no_fields_of_programs() {
    for (field, value) in OF_PROGRAMS.iter().copied() {
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
        (
            "custom: [*x]\n",
            "line 6: `custom.0`: aliases (`*name`) are not allowed",
        ),
        (
            "network: !bridge a\n",
            "line 6: `network`: the tag `!bridge` is not allowed here: allowed are `!namespace`",
        ),
        (
            "env: {NORTHSTAR_NAME: x}\n",
            "line 6: `env.NORTHSTAR_NAME`: is reserved for the runtime",
        ),
        (
            "uid: x\n",
            "line 6: `uid`: duplicate mapping key `uid` is not allowed here",
        ),
        (
            "cgroups: {pids: {max: many}}\n",
            "line 6: `cgroups.pids.max`: a whole number is needed: 0 to 18446744073709551615 is allowed",
        ),
        ("args: -v\n", "line 6: `args`: a list is needed"),
    ];
    for (fields, message) in cases {
        assert_eq!(program(fields).unwrap_err().to_string(), message);
    }
}
