//! How values are read.

use std::collections::{BTreeMap, BTreeSet};

use super::{BASE, read};
use crate::*;

#[test]
fn the_least_there_can_be() {
    let manifest = Manifest::from_yaml(BASE.as_bytes()).unwrap();
    let version = "0.0.1".parse().unwrap();
    assert_eq!(manifest, Manifest::new("a".parse().unwrap(), version, 1, 2));
    assert!(manifest.is_resource());
    assert_eq!(manifest.container().to_string(), "a:0.0.1");
}

/// Every field that a program can have.
pub(super) const EVERY_FIELD: &str = "\
args: [one, -v]
env: {LD_LIBRARY_PATH: /lib, EMPTY: ''}
suppl_groups: [log, inet]
userns: true
console: {permissions: [start, list]}
autostart: critical
sched: {policy: !fifo {priority: 10}}
mounts:
  /lib: {type: bind, host: /lib, options: 'rw, nosuid'}
  /dev: {type: dev}
  /proc: {type: proc}
  /sys: {type: sysfs}
  /data: {type: persist}
  /tmp: {type: tmpfs, size: 64Ki}
  /sockets: {type: sockets}
  /res: {type: resource, name: r, version: '>=1, <3', dir: /x, options: noexec}
cgroups:
  parent: one/two
  cpu: {shares: 1024, quota: -1, period: 100000, cpus: '0-1,3', mems: '0', realtime_runtime: 1, realtime_period: 2, attrs: {cpu.uclamp.min: 10}}
  memory: {oom_monitor: true, memory_hard_limit: 0x100000, memory_soft_limit: 1, memory_swap_limit: 2, swappiness: 0, kernel_memory_limit: 3, kernel_tcp_memory_limit: 4}
  blkio: {weight: 100, leaf_weight: 10, weight_device: [{major: 8, minor: 0, weight: 1}], throttle_read_bps_device: [{major: 8, minor: 0, rate: 1000}]}
  pids: {max: 10}
  devices: [{type: char, major: 1, minor: 3, access: rw}, {type: block, access: r}]
network: !namespace outer
seccomp:
  profile: default
  allow:
    fork: any
    prctl: !args {index: 0, values: [1, 0x2], mask: 0o17}
capabilities: [CAP_NET_RAW, CAP_KILL]
rlimits: {nproc: {soft: 10, hard: 20}, core: {soft: 0}, as: {soft: null, hard: null}}
selinux: {mount_context: 'system_u:object_r:x_t:s0', exec: a_t}
sockets: {s: {type: seq_packet, mode: 0o660, uid: 3, gid: 4, passcred: true}}
io: {stdout: pipe, stderr: inherit}
custom: [1, {a: null}]
";

#[test]
fn every_field() {
    let manifest = read(EVERY_FIELD);
    assert_eq!(manifest.args, ["one", "-v"]);
    assert_eq!(manifest.env["EMPTY"], "");
    assert_eq!(manifest.suppl_groups, ["log", "inet"]);
    assert!(manifest.userns);
    let permissions = manifest.console.unwrap().permissions;
    assert_eq!(
        permissions,
        [Permission::Start, Permission::List].into_iter().collect()
    );
    assert_eq!(manifest.autostart, Some(Autostart::Critical));
    assert_eq!(
        manifest.sched.unwrap().policy,
        Policy::Fifo { priority: 10 }
    );

    let rw_nosuid = MountOptions {
        rw: true,
        nosuid: true,
        ..MountOptions::default()
    };
    let noexec = MountOptions {
        noexec: true,
        ..MountOptions::default()
    };
    let mounts = [
        (
            "/lib",
            Mount::Bind {
                host: "/lib".into(),
                options: rw_nosuid,
            },
        ),
        ("/dev", Mount::Dev),
        ("/proc", Mount::Proc),
        ("/sys", Mount::Sysfs),
        ("/data", Mount::Persist),
        ("/tmp", Mount::Tmpfs { size: 65536 }),
        ("/sockets", Mount::Sockets),
        (
            "/res",
            Mount::Resource {
                name: "r".parse().unwrap(),
                version: ">=1, <3".parse().unwrap(),
                dir: "/x".into(),
                options: noexec,
            },
        ),
    ];
    let mounts: BTreeMap<_, _> = mounts.into_iter().map(|(k, v)| (k.into(), v)).collect();
    assert_eq!(manifest.mounts, mounts);

    let cgroups = manifest.cgroups.unwrap();
    assert_eq!(cgroups.parent, Some("one/two".into()));
    let cpu = cgroups.cpu.unwrap();
    assert_eq!(
        (cpu.shares, cpu.quota, cpu.period),
        (Some(1024), Some(-1), Some(100_000))
    );
    assert_eq!(
        (cpu.cpus.as_deref(), cpu.mems.as_deref()),
        (Some("0-1,3"), Some("0"))
    );
    assert_eq!(
        (cpu.realtime_runtime, cpu.realtime_period),
        (Some(1), Some(2))
    );
    assert_eq!(
        cpu.attrs,
        BTreeMap::from([("cpu.uclamp.min".into(), "10".into())])
    );
    let memory = cgroups.memory.unwrap();
    assert!(memory.oom_monitor);
    assert_eq!(memory.memory_hard_limit, Some(1 << 20));
    assert_eq!(
        (memory.memory_soft_limit, memory.memory_swap_limit),
        (Some(1), Some(2))
    );
    assert_eq!(
        (memory.kernel_memory_limit, memory.kernel_tcp_memory_limit),
        (Some(3), Some(4))
    );
    assert_eq!(memory.swappiness, Some(0));
    let blkio = cgroups.blkio.unwrap();
    let weight = BlkIoWeight {
        major: 8,
        minor: 0,
        weight: Some(1),
        leaf_weight: None,
    };
    assert_eq!(blkio.weight_device, [weight]);
    let throttle = BlkIoThrottle {
        major: 8,
        minor: 0,
        rate: 1000,
    };
    assert_eq!(blkio.throttle_read_bps_device, [throttle]);
    assert_eq!(cgroups.pids, Some(Pids { max: 10 }));
    let access = |read, write| DeviceAccess {
        read,
        write,
        mknod: false,
    };
    let devices = [
        DeviceRule {
            kind: DeviceKind::Char,
            major: Some(1),
            minor: Some(3),
            access: access(true, true),
        },
        DeviceRule {
            kind: DeviceKind::Block,
            major: None,
            minor: None,
            access: access(true, false),
        },
    ];
    assert_eq!(cgroups.devices.unwrap(), devices);

    assert_eq!(
        manifest.network,
        Some(Network::Namespace("outer".to_owned()))
    );
    let seccomp = manifest.seccomp.unwrap();
    assert_eq!(seccomp.profile, Some(Profile::Default));
    let args = ArgumentRule {
        index: 0,
        values: Some(vec![1, 2]),
        mask: Some(15),
    };
    let allow = [("fork", Rule::Any), ("prctl", Rule::Args(args))];
    let allow: BTreeMap<_, _> = allow.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    assert_eq!(seccomp.allow, Some(allow));
    let capabilities = BTreeSet::from([Capability::Kill, Capability::NetRaw]);
    assert_eq!(manifest.capabilities, capabilities);
    let limit = |soft, hard| RlimitValue { soft, hard };
    let rlimits = BTreeMap::from([
        (RlimitKind::Nproc, limit(Some(10), Some(20))),
        (RlimitKind::Core, limit(Some(0), None)),
        (RlimitKind::As, limit(None, None)),
    ]);
    assert_eq!(manifest.rlimits, rlimits);
    let selinux = manifest.selinux.unwrap();
    assert_eq!(
        selinux.mount_context.as_deref(),
        Some("system_u:object_r:x_t:s0")
    );
    assert_eq!(selinux.exec.as_deref(), Some("a_t"));
    let socket = Socket {
        kind: SocketKind::SeqPacket,
        mode: 0o660,
        uid: Some(3),
        gid: Some(4),
        passcred: Some(true),
    };
    assert_eq!(manifest.sockets, BTreeMap::from([("s".to_owned(), socket)]));
    assert_eq!(
        manifest.io,
        Some(Io {
            stdout: Output::Pipe,
            stderr: Output::Inherit
        })
    );
    assert_eq!(manifest.custom, Some(serde_json::json!([1, {"a": null}])));
}

#[test]
fn plain_scalars_are_strings_as_they_are_written() {
    for text in [
        "4",
        "0x10",
        "0o17",
        "007",
        "1_000",
        "1.10",
        "1e3",
        "-0",
        "+1",
        ".inf",
        ".nan",
        "no",
        "yes",
        "on",
        "true",
        "True",
        "null",
        "Null",
        "~",
        "2001-01-01",
        "a b",
        "/x:y",
        "<INIT>",
        "=",
    ] {
        let manifest = read(&format!("args: [{text}]\nenv:\n  A: {text}\n"));
        assert_eq!(manifest.args, [text]);
        assert_eq!(manifest.env["A"], text);
        let cgroups = format!("cgroups: {{cpu: {{attrs: {{cpu.x: {text}}}}}}}\n");
        assert_eq!(
            read(&cgroups).cgroups.unwrap().cpu.unwrap().attrs["cpu.x"],
            text
        );
    }
    // Nothing at all is the empty string, and quotes are not part of the text.
    let manifest = read("args:\n- \n- '~'\n- \"\\n\"\nenv:\n  EMPTY:\n  A.B:\n  C: ''\n");
    assert_eq!(manifest.args, ["", "~", "\n"]);
    assert!(
        manifest.env.values().all(String::is_empty),
        "{:?}",
        manifest.env
    );
    // A number may be a name or a key, too.
    let manifest = read("env: {4: x}\nsuppl_groups: [27]\nsockets: {1: {type: stream, mode: 0}}\n");
    assert_eq!(manifest.env["4"], "x");
    assert_eq!(manifest.suppl_groups, ["27"]);
    assert!(manifest.sockets.contains_key("1"));
}

#[test]
fn resource_requirements_are_not_numbers() {
    let cases = [
        ("1", "^1"),
        ("1.10", "^1.10"),
        ("'>=0.1.0'", ">=0.1.0"),
        ("'*'", "*"),
        ("~1.2", "~1.2"),
    ];
    for (text, requirement) in cases {
        let mount = format!("mounts: {{/r: {{type: resource, name: r, version: {text}, dir: /}}}}");
        let Mount::Resource { version, .. } = &read(&mount).mounts[std::path::Path::new("/r")]
        else {
            panic!("not a resource")
        };
        assert_eq!(version.to_string(), requirement);
    }
}

#[test]
fn sizes() {
    for (text, bytes) in [
        ("42", 42),
        ("0x10", 16),
        ("100kB", 100_000),
        ("'1 GiB'", 1 << 30),
    ] {
        let mounts = read(&format!("mounts: {{/t: {{type: tmpfs, size: {text}}}}}")).mounts;
        assert_eq!(
            mounts[std::path::Path::new("/t")],
            Mount::Tmpfs { size: bytes }
        );
    }
}

#[test]
fn policies() {
    let deadline = Deadline {
        runtime: 2000,
        deadline: 3000,
        period: 4000,
    };
    let cases = [
        ("!other {nice: -20}", Policy::Other { nice: -20 }),
        ("!other\n    nice: 19", Policy::Other { nice: 19 }),
        ("!batch {nice: 0}", Policy::Batch { nice: 0 }),
        ("!fifo {priority: 99}", Policy::Fifo { priority: 99 }),
        (
            "!round_robin {priority: 1}",
            Policy::RoundRobin { priority: 1 },
        ),
        ("idle", Policy::Idle),
        ("!idle", Policy::Idle),
        ("deadline", Policy::Deadline(None)),
        ("!deadline", Policy::Deadline(None)),
        (
            "!deadline {runtime: 2000, deadline: 3000, period: 4000}",
            Policy::Deadline(Some(deadline)),
        ),
    ];
    for (text, policy) in cases {
        let sched = read(&format!("sched:\n  policy: {text}\n")).sched;
        assert_eq!(sched, Some(Sched { policy }), "{text}");
    }
}

#[test]
fn one_stream_of_io_is_enough() {
    let io = read("io: {stdout: pipe}\n").io;
    assert_eq!(
        io,
        Some(Io {
            stdout: Output::Pipe,
            stderr: Output::Discard
        })
    );
}

#[test]
fn custom_follows_yaml_1_2() {
    let custom = read("custom: {a: yes, b: true, c: 007, d: 0o17, e: 1.5, f: '1', g: ~}\n").custom;
    let expected = serde_json::json!(
        {"a": "yes", "b": true, "c": "007", "d": 15, "e": 1.5, "f": "1", "g": null}
    );
    assert_eq!(custom, Some(expected));
}

#[test]
fn parents_come_before_their_children() {
    let manifest = read(
        "mounts: {/a/b/c: {type: dev}, /a-b: {type: dev}, /a/b: {type: dev}, /a: {type: dev}}\n",
    );
    let points: Vec<_> = manifest
        .mounts
        .keys()
        .map(|path| path.to_str().unwrap())
        .collect();
    assert_eq!(points, ["/a", "/a/b", "/a/b/c", "/a-b"]);
}

#[test]
fn json_is_yaml_too() {
    let json = r#"{"name": "a", "version": "0.0.1", "uid": 1, "gid": 2, "sched": {"policy": {"fifo": {"priority": 3}}}}"#;
    let manifest = Manifest::from_yaml(json.as_bytes()).unwrap();
    assert_eq!(
        manifest.sched,
        Some(Sched {
            policy: Policy::Fifo { priority: 3 }
        })
    );
}

#[test]
fn manifests_of_reference_packages() {
    let app = Manifest::from_yaml(include_bytes!("fixtures/app-gzip.yaml")).unwrap();
    assert_eq!(app.container().to_string(), "fixture-app:0.0.1");
    assert_eq!(app.init.as_deref(), Some("/hello"));
    assert_eq!(
        app.sched,
        Some(Sched {
            policy: Policy::Other { nice: 0 }
        })
    );
    let rule = &app.seccomp.unwrap().allow.unwrap()["delete_module"];
    let expected = ArgumentRule {
        index: 1,
        values: Some(vec![1]),
        mask: Some(6),
    };
    assert_eq!(rule, &Rule::Args(expected));
    assert_eq!(
        app.custom,
        Some(serde_json::json!({"anything": [1, "two"]}))
    );
    let resource = Manifest::from_yaml(include_bytes!("fixtures/resource-zstd.yaml")).unwrap();
    assert!(resource.is_resource());
}
