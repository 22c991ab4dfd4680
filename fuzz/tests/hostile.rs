//! Documents and lines that were written to do harm: each is refused, within a bounded amount of memory.

use std::sync::{Mutex, PoisonError};

use bytes::BytesMut;
use northstar_api::codec::{CodecError, Frame, Lines, decode, decode_envelope};
use northstar_fuzz::memory;
use northstar_manifest::{MAX_MANIFEST_SIZE, Manifest, ManifestError};
use tokio_util::codec::Decoder;

/// Memory is counted for the whole process, so one test runs at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Most memory in bytes for one manifest.
const MANIFEST: usize = 8 * 1024 * 1024;

const BASE: &str = "name: a\nversion: 0.0.1\ninit: /a\nuid: 1\ngid: 1\n";

/// What comes after the fields that every manifest has; each makes it one that is refused.
fn additions() -> Vec<String> {
    let mut list: Vec<String> = [
        // Anchors, aliases, merge keys.
        "custom: &a 1",
        "custom: *a",
        "custom: [&a [], *a]",
        "custom: {<<: {a: 1}}",
        "custom: {<<: [{a: 1}]}",
        "env: &e {A: b}",
        "args: [&x y]",
        "&k custom: 1",
        "custom: {&k a: 1}",
        "custom: {*a : 1}",
        // Tags.
        "custom: !x 1",
        "custom: !!python/object/apply:os.system ['id']",
        "custom: !!js/function 'x'",
        "custom: !!binary AAAA",
        "custom: !!set {a}",
        "custom: !!timestamp 2001-01-01",
        "custom: !<x> 1",
        "uid2: !!int 1",
        "custom: !include /etc/passwd",
        "init2: !!str /a",
        "custom: ! 1",
        "args: !args [a]",
        // Documents and directives.
        "---\na: 1",
        "...\n---\nb: 1",
        "--- !x\n",
        "...\n%YAML 1.1\n---\n{}",
        "...\n%TAG ! tag:x,2000:\n---\n!a b",
        // Keys.
        "name: b",
        "uid: 2",
        "\"name\": b",
        "'uid': 2",
        "custom: {a: 1, a: 2}",
        "custom: {a: 1, 'a': 2}",
        "env: {A: 1, A: 2}",
        "custom: [{b: 1, b: 2}]",
        "Name: b",
        "NAME: b",
        "unknown: 1",
        "? name",
        "? [a]\n: b",
        "? {a: b}\n: c",
        "custom: {[a]: b}",
        "custom: {{a: b}: c}",
        "~: 1",
        "'': 1",
        "\"na\\x6de\": b",
        "\"\\u006eame\": b",
        // Types and numbers.
        "args: a",
        "args: {a: b}",
        "env: [a]",
        "env: {A: [1]}",
        "env: {A: {B: C}}",
        "mounts: []",
        "mounts: 1",
        "capabilities: 1",
        "capabilities: {}",
        "capabilities: [CAP_NONE]",
        "capabilities: [CAP_KILL, CAP_KILL]",
        "rlimits: {nofile: x}",
        "rlimits: {nofile: {soft: -1}}",
        "rlimits: {nofile: 18446744073709551616}",
        "cgroups: {memory: {memory_hard_limit: -9223372036854775809}}",
        "sched: {policy: {fifo: {priority: 1e3}}}",
        "suppl_groups: [0x0]\nuid: 0",
        "autostart: yes",
        "autostart: on",
        "console: full",
        "userns: 1",
        "userns: no",
        // Names that lead elsewhere.
        "mounts: {../a: {type: tmpfs, size: 1}}",
        "mounts: {/a/../b: {type: tmpfs, size: 1}}",
        "mounts: {/: {type: tmpfs, size: 1}}",
        "mounts: {a: {type: tmpfs, size: 1}}",
        "mounts: {/a: {type: bind, host: ../../etc}}",
        "mounts: {/a: {type: resource, name: ../b, version: '*', dir: /}}",
        "mounts: {/a: {type: resource, name: b, version: '*', dir: ../..}}",
        "mounts: {/a: {type: bind}}",
        "mounts: {/a: {type: nothing}}",
        "network: {namespace: ../n}",
        "network: {namespace: a/b}",
        "cgroups: {parent: ../..}",
        "sockets: {../s: {type: stream, mode: 0o600}}",
        "sockets: {a/b: {type: stream, mode: 1}}",
        "seccomp: {allow: {read: sometimes}}",
        "seccomp: {}",
        "selinux: {mount_context: \"a b,c\"}\nunknown: 1",
        "io: {stdout: terminal}",
        "env: {'A=B': c}",
        "env: {'': c}",
        "env: {A: \"\\0\"}",
        "args: [\"\\0\"]",
        // Text that is not finished, or not text.
        "custom: [",
        "custom: {",
        "custom: \"",
        "custom: '",
        "custom: |9x",
        "custom: >-+",
        "custom: \"\\x\"",
        "custom: \"\\ud800\"",
        "custom: \"\\U00110000\"",
        "custom: \"\\q\"",
        "\tcustom: 1",
        "custom:\n\t- a",
        "custom: @a",
        "custom: `a`",
        "custom: %a",
        "custom: ]",
        "custom: }",
        "- a",
        "custom: a: b",
        "custom: 'a' b",
        "custom: \u{1}",
        "custom: \u{7f}\u{8}",
        "custom: \"\u{0}\"",
    ]
    .map(str::to_owned)
    .to_vec();
    // Sizes: what is deep, long or much.
    let levels = 60_000;
    list.push(format!("custom: {}", "[".repeat(levels)));
    list.push(format!("custom: {}", "{a: ".repeat(levels / 4)));
    list.push(format!(
        "custom: {}{}",
        "[".repeat(20_000),
        "]".repeat(20_000)
    ));
    list.push(format!(
        "custom:\n{}",
        (1..300)
            .map(|n| format!("{}- \n", " ".repeat(n)))
            .collect::<String>()
    ));
    list.push(format!("custom: {}1", "- ".repeat(levels / 2)));
    list.push(format!("custom: {}1", "? ".repeat(levels / 2)));
    list.push(format!("custom: {}x", "!".repeat(levels)));
    list.push(format!("custom: &{} 1", "a".repeat(levels)));
    list.push(format!("custom: \"{}", "\\".repeat(levels)));
    list.push(format!("{}: 1", "k".repeat(levels)));
    list.push(format!("env:\n{}", "  A: b\n".repeat(5000)));
    list.push(format!("args: [{}", "a,".repeat(25_000)));
    list.push((0..5000).map(|n| format!("k{n}: 1\n")).collect());
    list.push("&".repeat(levels));
    list.push("%".repeat(levels));
    list.push("--- ".repeat(levels / 4));
    // Laughs: nine levels of nine aliases.
    let laughs: String = (1..9)
        .map(|n| {
            format!(
                "  l{n}: &l{n} [{}]\n",
                vec![format!("*l{}", n - 1); 9].join(", ")
            )
        })
        .collect();
    list.push(format!("custom:\n  l0: &l0 lol\n{laughs}"));
    list
}

fn kind(error: &ManifestError) -> &'static str {
    match error {
        ManifestError::TooLarge { .. } => "too large",
        ManifestError::NotUtf8 { .. } => "not UTF-8",
        ManifestError::Syntax { .. } => "syntax",
        ManifestError::Construct { .. } => "construct",
        ManifestError::Type { .. } => "type",
        ManifestError::Field(_) => "field",
        _ => "new",
    }
}

#[test]
fn attacks_by_yaml_are_refused_within_bounded_memory() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Manifest::from_yaml(BASE.as_bytes()).unwrap();
    let additions = additions();
    assert!(additions.len() >= 100, "{}", additions.len());
    let mut kinds = std::collections::BTreeSet::new();
    let mut accepted = Vec::new();
    for addition in &additions {
        let text = format!("{BASE}{addition}\n");
        assert!(text.len() <= MAX_MANIFEST_SIZE, "{addition:.80}");
        match memory::bounded(MANIFEST, || Manifest::from_yaml(text.as_bytes())) {
            Ok(_) => accepted.push(addition),
            Err(error) => {
                // Nobody is made to read the whole document again.
                let message = error.to_string();
                assert!(
                    !message.is_empty() && message.len() < 70_000,
                    "{addition:.80}"
                );
                kinds.insert(kind(&error));
            }
        }
    }
    assert_eq!(accepted, [""; 0]);
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["construct", "field", "syntax", "type"]
    );
}

#[test]
fn other_encodings_and_sizes_are_refused() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let wide = |unit: fn(u16) -> [u8; 2]| BASE.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
    for (bytes, expected) in [
        (
            [b"\xff\xfe".to_vec(), wide(u16::to_le_bytes)].concat(),
            "not UTF-8",
        ),
        (
            [b"\xfe\xff".to_vec(), wide(u16::to_be_bytes)].concat(),
            "not UTF-8",
        ),
        (
            [BASE.as_bytes(), b"custom: \xc0\x80\n"].concat(),
            "not UTF-8",
        ),
        (
            [BASE.as_bytes(), b"custom: \xed\xa0\x80\n"].concat(),
            "not UTF-8",
        ),
        (vec![b'#'; MAX_MANIFEST_SIZE + 1], "too large"),
        (vec![b'['; 16 * 1024 * 1024], "too large"),
    ] {
        match memory::bounded(MANIFEST, || Manifest::from_yaml(&bytes)) {
            Err(error) => assert_eq!(kind(&error), expected, "{error}"),
            Ok(manifest) => panic!("{manifest:?}"),
        }
    }
}

/// Lines that are no message.
fn lines() -> Vec<String> {
    let mut list: Vec<String> = [
        "",
        " ",
        "null",
        "true",
        "1",
        "\"list\"",
        "[]",
        "{}",
        "{\"\":1}",
        "{\"request\"}",
        "{\"request\":}",
        "{\"request\":null}",
        "{\"request\":1}",
        "{\"request\":\"LIST\"}",
        "{\"request\":\"list\",\"request\":\"list\"}",
        "{\"request\":\"list\"}}",
        "{\"request\":\"list\"} x",
        "{\"request\":\"list\"}{\"request\":\"list\"}",
        "{'request':'list'}",
        "{request:\"list\"}",
        "{\"request\":\"list\",}",
        "{\"request\":\"list\",\"x\":1}",
        "{\"Request\":\"list\"}",
        "\u{feff}{\"request\":\"list\"}",
        "{\"request\":{\"list\":[]}}",
        "{\"request\":{}}",
        "{\"request\":{\"kill\":{}}}",
        "{\"request\":{\"kill\":{\"container\":\"a:0.0.1\",\"signal\":2147483648}}}",
        "{\"request\":{\"kill\":{\"container\":\"a:0.0.1\",\"signal\":1.5}}}",
        "{\"request\":{\"kill\":{\"container\":\"..:0.0.1\",\"signal\":9}}}",
        "{\"request\":{\"kill\":{\"container\":\"a\",\"signal\":9}}}",
        "{\"request\":{\"kill\":{\"container\":\"a:x\",\"signal\":9}}}",
        "{\"request\":{\"kill\":{\"container\":\"a/b:0.0.1\",\"signal\":9}}}",
        "{\"request\":{\"install\":{\"repository\":\"a\",\"size\":-1}}}",
        "{\"request\":{\"install\":{\"repository\":\"a\",\"size\":18446744073709551616}}}",
        "{\"request\":{\"install\":{\"repository\":\"a\",\"size\":1e3}}}",
        "{\"request\":{\"install\":{\"repository\":null,\"size\":1}}}",
        "{\"request\":{\"token_create\":{\"target\":\"a\",\"shared\":\"=\"}}}",
        "{\"request\":{\"token_create\":{\"target\":\"a\",\"shared\":\"A\"}}}",
        "{\"request\":{\"token_create\":{\"target\":\"..\",\"shared\":\"\"}}}",
        "{\"request\":{\"token_verify\":{\"token\":\"A\",\"user\":\"a\",\"shared\":\"\"}}}",
        "{\"request\":{\"mount\":{\"containers\":\"a:0.0.1\"}}}",
        "{\"request\":{\"mount\":{\"containers\":[null]}}}",
        "{\"connect\":{}}",
        "{\"connect\":{\"version\":1,\"subscribe_notifications\":true}}",
        "{\"connect\":{\"version\":\"0.9.2\",\"subscribe_notifications\":\"yes\"}}",
        "{\"request\":\"\\ud800\"}",
        "{\"request\":\"\\x\"}",
        "{\"request\":\"list",
        "{\"request\":\"list\"",
        "{\"request\":\"li\u{0}st\"}",
        "GET / HTTP/1.1",
        "\u{1b}[2J",
        "\u{0}\u{0}\u{0}",
    ]
    .map(str::to_owned)
    .to_vec();
    list.push("[".repeat(60_000));
    list.push("{\"request\":".repeat(6000));
    list.push(format!("{{\"request\":\"{}", "\\u0000".repeat(9000)));
    list.push(format!(
        "{{\"request\":{{\"mount\":{{\"containers\":[{}",
        "\"a:0.0.1\",".repeat(6000)
    ));
    list.push(format!(
        "{{\"request\":{{\"kill\":{{\"container\":\"{}:0.0.1\",\"signal\":9}}}}}}",
        "a".repeat(60_000)
    ));
    list.push(format!("{{\"request\":{}}}", "9".repeat(60_000)));
    list
}

/// Most memory in bytes for one line of 64 KiB and the message in it.
const LINE: usize = 2 * 1024 * 1024;

#[test]
fn hostile_lines_are_no_messages() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = lines();
    assert!(lines.len() >= 50, "{}", lines.len());
    let mut accepted = Vec::new();
    for line in &lines {
        for read in [
            |line: &[u8]| decode(line).map(|message| format!("{message:?}")),
            |line: &[u8]| decode_envelope(line).map(|envelope| format!("{envelope:?}")),
        ] {
            let result = memory::bounded(LINE, || read(line.as_bytes()));
            if !matches!(result, Err(CodecError::Malformed { .. })) {
                accepted.push(line);
            }
        }
    }
    assert_eq!(accepted, [""; 0]);
}

/// A line without an end costs its limit and not what was sent.
#[test]
fn lines_without_an_end_are_cut_off() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    const LIMIT: usize = 64 * 1024;
    let mut codec = Lines::new(LIMIT);
    let mut buffer = BytesMut::new();
    let mut sent = 0;
    let error = memory::bounded(4 * LIMIT, || {
        loop {
            buffer.extend_from_slice(&[b'x'; 1000]);
            sent += 1000;
            match codec.decode(&mut buffer) {
                Ok(None) => assert!(sent <= LIMIT + 1000),
                Ok(Some(Frame::Message(message))) => panic!("{message:?}"),
                Ok(Some(Frame::Raw(raw))) => panic!("{raw:?}"),
                Err(error) => return error,
            }
        }
    });
    assert!(
        matches!(error, CodecError::TooLong { limit: LIMIT }),
        "{error:?}"
    );
}
