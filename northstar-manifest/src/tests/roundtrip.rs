//! Whatever is written is read back as the same.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection, option, prelude::*, sample::select};
use serde_json::Value;

use crate::*;

/// Any text without NUL, often of the kind that YAML takes for something else.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[^\\x00]{0,12}",
        "[ -~]{0,12}",
        select(vec![
            "",
            "~",
            "null",
            "no",
            "true",
            "0x1",
            "1_0",
            "1e3",
            "- a",
            "a: b",
            "#",
            "!x",
            "&x",
            "*x",
            "<<",
            "\n",
            "\t",
            " ",
            "...",
            "---",
            "'",
            "\"",
            "|",
            ">",
            "%",
            "@",
            "`",
            "\u{feff}",
            "\u{85}",
            "\u{2028}",
            "\r\n",
            "a\n\n b\n",
        ])
        .prop_map(str::to_owned),
    ]
}

fn name() -> impl Strategy<Value = Name> {
    "[A-Za-z0-9][A-Za-z0-9._-]{0,12}".prop_map(|name| name.parse().unwrap())
}

fn path() -> impl Strategy<Value = String> {
    "(/[a-zA-Z0-9 :#'~_-]{1,6}){1,4}"
}

fn options(is_bind: bool) -> impl Strategy<Value = MountOptions> {
    any::<[bool; 5]>().prop_map(move |[rw, noexec, nosuid, nodev, rec]| MountOptions {
        rw,
        noexec,
        nosuid,
        nodev,
        rec: rec && is_bind,
    })
}

fn mount() -> impl Strategy<Value = Mount> {
    let version = select(vec![
        "*",
        "1",
        "1.10",
        ">=0.1.0",
        "~1.2, <1.2.9",
        "=1.0.0-rc.1",
    ]);
    prop_oneof![
        (path(), options(true)).prop_map(|(host, options)| Mount::Bind {
            host: host.into(),
            options
        }),
        (name(), version, path(), options(false)).prop_map(|(name, version, dir, options)| {
            Mount::Resource {
                name,
                version: version.parse().unwrap(),
                dir: dir.into(),
                options,
            }
        }),
        (1..=u64::MAX).prop_map(|size| Mount::Tmpfs { size }),
        select(vec![
            Mount::Dev,
            Mount::Persist,
            Mount::Proc,
            Mount::Sockets,
            Mount::Sysfs
        ]),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        (-20..=19i8).prop_map(|nice| Policy::Other { nice }),
        (-20..=19i8).prop_map(|nice| Policy::Batch { nice }),
        (1..=99u32).prop_map(|priority| Policy::Fifo { priority }),
        (1..=99u32).prop_map(|priority| Policy::RoundRobin { priority }),
        Just(Policy::Idle),
        Just(Policy::Deadline(None)),
        (1024..1u64 << 40).prop_map(|runtime| {
            let (deadline, period) = (runtime + 1, runtime + 2);
            Policy::Deadline(Some(Deadline {
                runtime,
                deadline,
                period,
            }))
        }),
    ]
}

fn attributes() -> impl Strategy<Value = BTreeMap<String, String>> {
    collection::btree_map("[a-z]{1,8}\\.[a-z_.]{1,8}", text(), 0..3)
}

fn cgroups() -> impl Strategy<Value = CGroups> {
    let cpu = (
        option::of("[0-9]{1,2}(-[0-9]{1,2})?"),
        option::of(2..1000u64),
        any::<Option<i64>>(),
    );
    let cpu = (cpu, attributes()).prop_map(|((cpus, shares, quota), attrs)| Cpu {
        cpus,
        shares,
        quota,
        attrs,
        ..Cpu::default()
    });
    let memory = (
        any::<bool>(),
        any::<[Option<i64>; 3]>(),
        option::of(0..=200u64),
        attributes(),
    );
    let memory = memory.prop_map(
        |(oom_monitor, [hard, soft, swap], swappiness, attrs)| Memory {
            oom_monitor,
            memory_hard_limit: hard,
            memory_soft_limit: soft,
            memory_swap_limit: swap,
            swappiness,
            attrs,
            ..Memory::default()
        },
    );
    let throttle = any::<(u64, u64, u64)>().prop_map(|(major, minor, rate)| BlkIoThrottle {
        major,
        minor,
        rate,
    });
    let blkio = (
        option::of(1..=10_000u16),
        collection::vec(throttle, 0..3),
        attributes(),
    );
    let blkio = blkio.prop_map(|(weight, throttle_read_bps_device, attrs)| BlkIo {
        weight,
        throttle_read_bps_device,
        attrs,
        ..BlkIo::default()
    });
    let device = any::<(bool, Option<u32>, Option<u32>, bool)>().prop_map(
        |(is_char, major, minor, write)| DeviceRule {
            kind: if is_char {
                DeviceKind::Char
            } else {
                DeviceKind::Block
            },
            major,
            minor,
            access: DeviceAccess {
                read: true,
                write,
                mknod: !write,
            },
        },
    );
    (
        option::of("[a-z]{1,4}(/[a-z]{1,4}){0,2}"),
        option::of(cpu),
        option::of(memory),
        option::of(blkio),
        option::of(1..1000u64),
        option::of(collection::vec(device, 0..3)),
    )
        .prop_map(|(parent, cpu, memory, blkio, pids, devices)| CGroups {
            parent: parent.map(Into::into),
            cpu,
            memory,
            blkio,
            pids: pids.map(|max| Pids { max }),
            devices,
        })
}

fn seccomp() -> impl Strategy<Value = Seccomp> {
    let values = collection::vec(any::<u64>(), 0..4);
    let rule = prop_oneof![
        Just(Rule::Any),
        (0..6u32, values, any::<Option<u64>>()).prop_map(|(index, values, mask)| {
            Rule::Args(ArgumentRule {
                index,
                values: Some(values),
                mask,
            })
        }),
        (0..6u32, any::<u64>()).prop_map(|(index, mask)| {
            Rule::Args(ArgumentRule {
                index,
                values: None,
                mask: Some(mask),
            })
        }),
    ];
    let allow = collection::btree_map("[a-z0-9_]{1,12}", rule, 0..4);
    (any::<bool>(), allow).prop_map(|(profile, allow)| Seccomp {
        profile: profile.then_some(Profile::Default),
        allow: Some(allow),
    })
}

fn socket() -> impl Strategy<Value = Socket> {
    let kind = select(vec![
        SocketKind::Stream,
        SocketKind::Datagram,
        SocketKind::SeqPacket,
    ]);
    (
        kind,
        0..=0o777u32,
        option::of(1..u32::MAX),
        any::<Option<bool>>(),
    )
        .prop_map(|(kind, mode, uid, passcred)| Socket {
            kind,
            mode,
            uid,
            gid: uid,
            passcred,
        })
}

fn custom() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            collection::btree_map(text().prop_filter("a key", |k| k != "<<"), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

prop_compose! {
    fn process()(
        args in collection::vec(text(), 0..4),
        env in collection::btree_map("[A-Z][A-Z0-9_]{0,5}", text(), 0..4),
        groups in collection::btree_set("[a-z0-9~]{1,8}", 0..3),
        capabilities in collection::btree_set(select(Capability::ALL), 0..4),
        limits in collection::btree_map(select(RlimitKind::ALL), any::<(u32, Option<u32>)>(), 0..3),
        policy in option::of(policy()),
    ) -> (Vec<String>, BTreeMap<String, String>, Vec<String>, BTreeSet<Capability>, BTreeMap<RlimitKind, RlimitValue>, Option<Sched>) {
        let rlimits = limits.into_iter().map(|(kind, (soft, more))| {
            let soft = u64::from(soft);
            (kind, RlimitValue { soft: Some(soft), hard: more.map(|more| soft + u64::from(more)) })
        });
        let sched = policy.map(|policy| Sched { policy });
        (args, env, groups.into_iter().collect(), capabilities, rlimits.collect(), sched)
    }
}

prop_compose! {
    pub(super) fn manifest()(
        name in name(),
        version in select(vec!["0.0.1", "1.2.3-rc.1+b.5", "99999.0.0"]),
        ids in (1..u32::MAX, 1..u32::MAX),
        (args, env, suppl_groups, capabilities, rlimits, sched) in process(),
        permissions in option::of(collection::btree_set(select(Permission::ALL), 0..15)),
        autostart in option::of(select(vec![Autostart::Relaxed, Autostart::Critical])),
        mounts in collection::btree_map(path(), mount(), 0..5),
        cgroups in option::of(cgroups()),
        network in option::of(prop_oneof![
            Just(Network::Host),
            "[a-z~#' ]{1,8}".prop_map(Network::Namespace),
        ]),
        seccomp in option::of(seccomp()),
        context in option::of("[a-z_:0-9]{1,12}"),
        sockets in collection::btree_map("[a-zA-Z0-9._-]{1,8}", socket(), 0..3),
        io in option::of(select(vec![Output::Discard, Output::Pipe, Output::Inherit])),
        userns in any::<bool>(),
        custom in option::of(custom().prop_filter("null is nothing", |v| !v.is_null())),
    ) -> Manifest {
        Manifest {
            name,
            version: version.parse().unwrap(),
            init: Some("/init".to_owned()),
            args,
            env,
            uid: ids.0,
            gid: ids.1,
            suppl_groups,
            userns,
            console: permissions
                .map(|permissions| Console { permissions: permissions.into_iter().collect() }),
            autostart,
            sched,
            mounts: mounts.into_iter().map(|(point, mount)| (point.into(), mount)).collect(),
            cgroups,
            network,
            seccomp,
            capabilities,
            rlimits,
            selinux: context.map(|context| Selinux { mount_context: None, exec: Some(context) }),
            sockets,
            io: io.map(|stdout| Io { stdout, stderr: Output::Discard }),
            custom,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn yaml(manifest in manifest()) {
        manifest.validate().unwrap();
        let yaml = manifest.to_yaml().unwrap();
        let read = Manifest::from_yaml(yaml.as_bytes());
        let read = read.unwrap_or_else(|error| panic!("{error}\n{yaml}"));
        prop_assert_eq!(&read, &manifest, "{}", yaml);
        prop_assert_eq!(read.to_yaml().unwrap(), yaml);
    }

    #[test]
    fn json(manifest in manifest()) {
        let json = serde_json::to_string(&manifest).unwrap();
        let read: Manifest = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&read, &manifest, "{}", json);
    }

    #[test]
    fn for_0_9_2_changes_nothing_twice(manifest in manifest()) {
        let once = manifest.for_0_9_2().manifest;
        let twice = once.for_0_9_2();
        prop_assert!(twice.changed.is_empty());
        prop_assert_eq!(twice.manifest, once);
    }

    #[test]
    fn no_text_makes_reading_panic(text in ".{0,200}", bytes in collection::vec(any::<u8>(), 0..100)) {
        let _ = Manifest::from_yaml(text.as_bytes());
        let _ = Manifest::from_yaml(&bytes);
    }

    #[test]
    fn no_change_to_a_manifest_makes_reading_panic(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = include_bytes!("fixtures/app-gzip.yaml").to_vec();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        let _ = Manifest::from_yaml(&bytes);
        let _ = Manifest::from_yaml(&bytes[..cut.index(bytes.len())]);
    }
}
