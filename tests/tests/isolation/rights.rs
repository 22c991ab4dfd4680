//! Who a container is, and what it may do.

use std::{collections::BTreeMap, fs};

use northstar_tests::Package;

use crate::run;

#[test]
fn identity_capabilities_and_namespaces() {
    let output = run(&Package::app("app", &["identity"]));
    let facts: BTreeMap<&str, &str> = output
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    assert_eq!(facts.get("Uid"), Some(&"1000 1000 1000 1000"));
    assert_eq!(facts.get("Gid"), Some(&"1000 1000 1000 1000"));
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(facts.get(set), Some(&"0000000000000000"), "{set}");
    }
    assert_eq!(facts.get("NoNewPrivs"), Some(&"1"));
    for namespace in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
        let host = fs::read_link(format!("/proc/self/ns/{namespace}")).unwrap();
        let line = format!("ns {}", host.display());
        assert!(
            !output.contains(&line),
            "the container is in the host's {namespace} namespace"
        );
        assert!(
            output
                .iter()
                .any(|line| line.starts_with(&format!("ns {namespace}:["))),
            "{output:?}"
        );
    }
}

#[test]
fn capabilities_are_exactly_those_of_the_manifest() {
    let output =
        run(&Package::app("app", &["identity"]).field("capabilities: [CAP_NET_RAW, CAP_CHOWN]"));
    // CAP_CHOWN is bit 0 and CAP_NET_RAW bit 13, see capabilities(7).
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(
            output.contains(&format!("{set}: 0000000000002001")),
            "{set}: {output:?}"
        );
    }
}

#[test]
fn descriptors_are_the_standard_streams_alone() {
    let output = run(&Package::app("app", &["descriptors"]));
    let numbers: Vec<&str> = output
        .iter()
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    assert_eq!(numbers, ["0", "1", "2"], "{output:?}");
    assert!(output.contains(&"fd 0 /dev/null".to_owned()), "{output:?}");
}

#[test]
fn host_network_only_on_request() {
    let output = run(&Package::app("app", &["identity"]).field("network: host"));
    let host = fs::read_link("/proc/self/ns/net").unwrap();
    assert!(
        output.contains(&format!("ns {}", host.display())),
        "{output:?}"
    );
}

/// Without SELinux there is nothing that a label could mean.
#[test]
fn labels_of_a_manifest_do_not_matter_without_selinux() {
    let package = Package::app("app", &["print", "runs"])
        .field("selinux: {mount_context: 'user_u:role_r:image_t', exec: 'user_u:role_r:app_t'}");
    assert_eq!(run(&package), ["runs"]);
}
