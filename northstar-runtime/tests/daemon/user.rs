//! Containers with a user namespace. Linux can id-map squashfs since 6.2.

use super::harness::{Daemon, Site, eventually};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

const USERNS: &str = "userns: true";
/// What the configuration gives unless it says otherwise.
const FIRST_ID: u32 = 0x7000_0000;
const SIZE: u32 = 0x1_0000;

/// The ids of the host that the payload of each running container has, in ascending order.
fn maps(daemon: &Daemon) -> Vec<(u32, u32)> {
    let children = |pid: i32| -> Vec<i32> {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let children = children.split_whitespace();
        children.map(|pid| pid.parse().unwrap()).collect()
    };
    let inits = children(daemon.forker());
    let payloads = inits.into_iter().flat_map(children);
    let map = |pid: i32| {
        let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
        assert_eq!(
            map,
            fs::read_to_string(format!("/proc/{pid}/gid_map")).unwrap()
        );
        let numbers = map.split_whitespace().map(|n| n.parse::<u32>().unwrap());
        match numbers.collect::<Vec<_>>().as_slice() {
            [0, first, count] => (*first, *count),
            other => panic!("{other:?}"),
        }
    };
    let mut maps = payloads.map(map).collect::<Vec<_>>();
    maps.sort_unstable();
    maps
}

fn persist(site: &Site, name: &str) -> PathBuf {
    site.path("data").join("default").join(name)
}

#[test]
fn user_namespaces_have_ranges_of_their_own() {
    let site = Site::new();
    let sleep = "while :; do sleep 1; done";
    let containers = ["a", "b", "c"].map(|name| site.shell(name, sleep, USERNS, ""));
    let daemon = site.daemon();
    let mut console = daemon.console();
    for container in &containers {
        assert_eq!(console.start(container), None);
    }
    let range = |position| (FIRST_ID + position * SIZE, SIZE);
    assert_eq!(maps(&daemon), [range(0), range(1), range(2)]);
    // The range of one that ended is free again.
    assert_eq!(console.kill(&containers[1], 9), None);
    console.exit_of(&containers[1]);
    eventually("the range", || match console.start(&containers[1]) {
        None => Some(()),
        Some(_) => None,
    });
    assert_eq!(maps(&daemon), [range(0), range(1), range(2)]);
}

#[test]
fn what_a_user_namespace_writes_has_the_ids_of_the_manifest() {
    let site = Site::new();
    let script = "[ $(id -u):$(id -g) = 1000:1000 ] || exit 1
        [ $(stat -c %u:%g /data) = 1000:1000 ] || exit 2
        [ $(stat -c %u:%g /) = 1000:1000 ] && [ $(stat -c %u:%g /bin/) = 0:0 ] || exit 3
        if [ -e /data/file ]; then cat /data/file >/dev/null || exit 4; exit 43; fi
        echo x >/data/file && mkdir /data/dir || exit 5
        exit 42";
    let mounts = "  /data: {type: persist}\n";
    let container = site.shell("app", script, USERNS, mounts);
    let daemon = site.daemon();
    let mut console = daemon.console();
    for code in [42, 43] {
        eventually("a start", || {
            console.start(&container).is_none().then_some(())
        });
        let end = console.exit_of(&container);
        assert_eq!(end, json!({"exit": {"code": code}}));
    }
    for name in ["", "file", "dir"] {
        let found = fs::metadata(persist(&site, "app").join(name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (1000, 1000), "{name}");
    }
}

/// What cannot be inside is an error of the start.
#[test]
fn user_namespace_without_an_id_for_user_or_group_does_not_start() {
    let site = Site::new();
    let groups = format!("{USERNS}\nsuppl_groups: [daemon]");
    let group = site.shell("group", "exit 0", &groups, "");
    let manifest = "name: user\nversion: 0.0.1\ninit: /bin/sh\nuid: 65536\ngid: 1\nuserns: true\n";
    let user = site.pack(manifest);
    let daemon = site.daemon();
    let mut console = daemon.console();
    for container in [group, user] {
        let error = console.start(&container).unwrap();
        assert_ne!(error, Value::Null, "{container}");
        let inspected = console.inspect(&container);
        assert_eq!(inspected["process"], Value::Null, "{container}");
    }
}

/// Linux before 6.2, which the guest has.
#[test]
fn vm_user_namespace_is_refused_where_squashfs_cannot_be_mapped() {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let numbers = release.split(['.', '-']).map(|n| n.parse::<u32>().ok());
    let release = numbers.take(2).collect::<Option<Vec<_>>>().unwrap();
    let site = Site::new();
    let script = "echo x >/data/file";
    let container = site.shell("app", script, USERNS, "  /data: {type: persist}\n");
    let daemon = site.daemon();
    let mut console = daemon.console();
    let started = console.start(&container);
    if release >= vec![6, 2] {
        assert_eq!(started, None);
        return;
    }
    let error = started.unwrap().to_string();
    assert!(error.contains("id-map /"), "{error}");
    assert!(!Path::new(&persist(&site, "app")).join("file").exists());
    // The daemon goes on, and so do containers without.
    let plain = site.shell("plain", "exit 7", "", "");
    drop((console, daemon));
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&plain), None);
    assert_eq!(console.exit_of(&plain), json!({"exit": {"code": 7}}));
}
