//! What is written.

use super::read;
use crate::{MAX_MANIFEST_SIZE, WriteError};

/// Reads `fields` and returns what follows the common fields when it is written again.
fn written(fields: &str) -> String {
    let yaml = read(fields).to_yaml().unwrap();
    let common = "name: a\nversion: \"0.0.1\"\ninit: /a\n";
    let rest = yaml
        .strip_prefix(common)
        .unwrap_or_else(|| panic!("{yaml}"));
    rest.replace("uid: 1\ngid: 2\n", "")
}

#[test]
fn enums_with_a_payload_have_tags() {
    let cases = [
        "sched:\n  policy: !other\n    nice: -1\n",
        "sched:\n  policy: !fifo\n    priority: 1\n",
        "sched:\n  policy: idle\n",
        "sched:\n  policy: deadline\n",
        "sched:\n  policy: !deadline\n    runtime: 2000\n    deadline: 3000\n    period: 4000\n",
        "network: host\n",
        "network: !namespace outer\n",
        "seccomp:\n  allow:\n    fork: any\n    prctl: !args\n      index: 0\n      values:\n      - 1\n",
    ];
    for yaml in cases {
        assert_eq!(written(yaml), yaml);
    }
}

#[test]
fn what_0_9_2_needs_is_there() {
    assert_eq!(
        written("io: {stdout: pipe}"),
        "io:\n  stdout: pipe\n  stderr: discard\n"
    );
    assert_eq!(
        written("cgroups: {blkio: {weight: 10}}"),
        "\
cgroups:
  blkio:
    weight: 10
    weight_device: []
    throttle_read_bps_device: []
    throttle_read_iops_device: []
    throttle_write_bps_device: []
    throttle_write_iops_device: []
"
    );
    let options = "mounts: {/a: {type: bind, host: /b, options: 'rec , nodev,nosuid,noexec,rw'}}";
    assert!(written(options).contains("options: rw,noexec,nosuid,nodev,rec\n"));
    assert!(written("console: {permissions: full}").contains("permissions: full\n"));
}

#[test]
fn strings_that_look_like_something_else_are_quoted() {
    for text in [
        "4", "0x10", "no", "true", "null", "~", "", "a: b", "- a", "#", "'", "\"", "\n", " x ",
    ] {
        let quoted = serde_json::to_string(text).unwrap();
        let manifest = read(&format!("args: [{quoted}]\nenv: {{A: {quoted}}}\n"));
        assert_eq!(manifest.args, [text]);
        let yaml = manifest.to_yaml().unwrap();
        let again = crate::Manifest::from_yaml(yaml.as_bytes()).unwrap();
        assert_eq!(again, manifest, "{yaml}");
        // Written plainly, these would be something else for another reader.
        let line = yaml.lines().find(|line| line.starts_with("- ")).unwrap();
        assert!(line.contains(['"', '\'', '|']), "{line}");
    }
}

#[test]
fn equal_manifests_are_written_alike() {
    let one = read("env: {A: 1, B: 2}\nmounts: {/a: {type: dev}, /b: {type: proc}}\n");
    let two = read("mounts: {/b: {type: proc}, /a: {type: dev}}\nenv: {B: 2, A: 1}\n");
    assert_eq!(one.to_yaml().unwrap(), two.to_yaml().unwrap());
}

#[test]
fn json_of_inspect() {
    let manifest = read(
        "\
sched: {policy: !other {nice: 0}}
network: !namespace outer
seccomp: {allow: {fork: any, prctl: !args {index: 0, mask: 1}}}
console: {permissions: full}
mounts: {/r: {type: resource, name: r, version: '1', dir: /, options: rw}, /t: {type: tmpfs, size: 1kB}}
rlimits: {nproc: {soft: 1}}
",
    );
    let json = concat!(
        r#"{"name":"a","version":"0.0.1","init":"/a","uid":1,"gid":2,"console":{"permissions":"full"},"#,
        r#""sched":{"policy":{"other":{"nice":0}}},"#,
        r#""mounts":{"/r":{"type":"resource","name":"r","version":"^1","dir":"/","options":"rw"},"#,
        r#""/t":{"type":"tmpfs","size":1000}},"network":{"namespace":"outer"},"#,
        r#""seccomp":{"allow":{"fork":"any","prctl":{"args":{"index":0,"mask":1}}}},"#,
        r#""rlimits":{"nproc":{"soft":1,"hard":null}}}"#
    );
    assert_eq!(serde_json::to_string(&manifest).unwrap(), json);
    assert_eq!(
        serde_json::from_str::<crate::Manifest>(json).unwrap(),
        manifest
    );
}

#[test]
fn custom_is_written_in_order() {
    // Whatever order `serde_json` keeps the keys in.
    assert_eq!(
        written("custom: {b: 1, a: [{d: 1, c: 2}]}"),
        "custom:\n  a:\n  - c: 2\n    d: 1\n  b: 1\n"
    );
}

/// In a list, two bytes in flow style are four in the style that is written.
#[test]
fn what_grows_beyond_the_limit_is_not_written() {
    let list = |count: usize| read(&format!("custom: [{}]", "1,".repeat(count)));
    let fits = list(16_000).to_yaml().unwrap();
    assert!((64_000..=MAX_MANIFEST_SIZE).contains(&fits.len()));
    match list(20_000).to_yaml() {
        Err(WriteError::TooLarge { size, limit }) => {
            assert!(size > 80_000, "{size}");
            assert_eq!(limit, MAX_MANIFEST_SIZE);
        }
        other => panic!("{other:?}"),
    }
}
