//! What 0.9.2 makes of a manifest.

use super::{BASE, read};
use crate::{Manifest, Policy};

#[test]
fn a_manifest_of_0_9_2_stays_as_it_is() {
    let manifest = Manifest::from_yaml(include_bytes!("fixtures/app-gzip.yaml")).unwrap();
    assert_eq!(manifest.differences(), []);
    let compatible = manifest.for_0_9_2();
    assert!(compatible.changed.is_empty());
    assert_eq!(compatible.manifest, manifest);
}

#[test]
fn what_0_9_2_does_not_know_is_left_out_of_the_console() {
    let manifest = read(
        "\
sched: {policy: !deadline {runtime: 2000, deadline: 3000, period: 4000}}
cgroups: {pids: {max: 1}, devices: [{type: char, access: r}], cpu: {shares: 2}}
userns: true
",
    );
    let compatible = manifest.for_0_9_2();
    assert_eq!(
        compatible.changed,
        ["sched.policy", "cgroups.pids", "cgroups.devices", "userns"]
    );
    let json = serde_json::to_string(&compatible.manifest).unwrap();
    assert!(json.contains(r#""sched":{"policy":"deadline"}"#), "{json}");
    assert!(json.contains(r#""cgroups":{"cpu":{"shares":2}}"#), "{json}");
    assert!(!json.contains("userns"), "{json}");
    // The manifest itself is untouched.
    assert!(matches!(
        manifest.sched.unwrap().policy,
        Policy::Deadline(Some(_))
    ));

    let large = "name: a\nversion: 0.0.1\nuid: 100000\ngid: 65536\n";
    let compatible = Manifest::from_yaml(large.as_bytes()).unwrap().for_0_9_2();
    assert_eq!(
        (compatible.manifest.uid, compatible.manifest.gid),
        (65535, 65535)
    );
    assert_eq!(compatible.changed, ["uid", "gid"]);
}

#[test]
fn what_0_9_2_refuses_or_ignores_in_a_package() {
    let cases = [
        ("sched: {policy: deadline}", None),
        (
            "sched: {policy: !deadline {runtime: 2000, deadline: 3000, period: 4000}}",
            Some(("sched.policy", true)),
        ),
        (
            "sched: {policy: !round_robin {priority: 1}}",
            Some(("sched.policy", true)),
        ),
        ("cgroups: {pids: {max: 1}}", Some(("cgroups.pids", false))),
        ("userns: true", Some(("userns", true))),
        ("userns: false", None),
        ("cgroups: {devices: []}", Some(("cgroups.devices", false))),
        (
            "mounts: {/a: {type: bind, host: /x}, /a/b: {type: bind, host: /x}}",
            Some(("mounts./a/b", true)),
        ),
        (
            "mounts: {/a: {type: bind, host: /x}, /ab: {type: bind, host: /x}}",
            None,
        ),
        // 0.9.2 does not notice this one.
        (
            "mounts: {/a: {type: bind, host: /x}, /a-b: {type: bind, host: /x}, /a/c: {type: bind, host: /x}}",
            None,
        ),
        (
            "mounts: {/a: {type: bind, host: /x}, /a/b: {type: dev}}",
            None,
        ),
    ];
    for (fields, expected) in cases {
        let differences = read(fields).differences();
        let found: Vec<_> = differences
            .iter()
            .map(|d| (d.field.as_str(), d.refused))
            .collect();
        assert_eq!(found, Vec::from_iter(expected), "{fields}");
    }
    for (field, value, refused) in [
        ("uid: 1", "uid: 65536", true),
        ("0.0.1", "0.0.1-rc1", false),
    ] {
        let manifest = Manifest::from_yaml(BASE.replace(field, value).as_bytes()).unwrap();
        let [difference] = manifest.differences().try_into().unwrap();
        assert_eq!(difference.refused, refused, "{difference}");
    }
}
