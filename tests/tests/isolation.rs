//! What a container sees and may do is what its manifest says, and what cannot be given stops the start.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt};

use northstar_tests::{Daemon, Package, Site};
use serde_json::{Value, json};

/// Runs a container to its end and returns what it wrote.
fn run(package: &Package) -> Vec<String> {
    let site = Site::new();
    site.pack(package);
    let daemon = site.start();
    let output = run_on(&daemon, &package.container());
    daemon.stop();
    output
}

fn run_on(daemon: &Daemon, container: &str) -> Vec<String> {
    let mut console = daemon.console();
    console.start_ok(container);
    assert_eq!(
        console.expect_exit(container),
        json!({"exit": {"code": 0}}),
        "{}",
        daemon.log()
    );
    daemon.complete_output(container)
}

/// The error text of a start that must fail while the container is set up.
fn start_failure(daemon: &Daemon, container: &str) -> String {
    let answer = daemon.console().start(container);
    let error = answer.pointer("/start/error/error/start_container_failed/error");
    error
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("start answered {answer}"))
        .to_owned()
}

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

/// Mount options by mount point, of the container's mountinfo.
fn mount_options(output: &[String]) -> BTreeMap<String, Vec<String>> {
    output
        .iter()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(4);
            let target = fields.next()?.to_owned();
            Some((
                target,
                fields.next()?.split(',').map(str::to_owned).collect(),
            ))
        })
        .collect()
}

#[test]
fn mount_flags_are_exact() {
    let site = Site::new();
    let shared = site.path().join("shared");
    fs::create_dir(&shared).unwrap();
    let bind = |options: &str| {
        format!(
            "{{type: bind, host: {}, options: '{options}'}}",
            shared.display()
        )
    };
    site.pack(&Package::resource("message", "0.0.1", "text", "hello"));
    site.pack(
        &Package::app("app", &["mounts"])
            .mount("/ro", &bind(""))
            .mount("/rw", &bind("rw, nosuid, nodev"))
            .mount("/strict", &bind("rw,noexec,nosuid,nodev"))
            .mount("/data", "{type: persist}")
            .mount("/tmp", "{type: tmpfs, size: 1MiB}")
            .mount("/sys", "{type: sysfs}")
            .mount(
                "/res",
                "{type: resource, name: message, version: '>=0.0.1', dir: /, options: noexec}",
            ),
    );
    let daemon = site.start();
    let options = mount_options(&run_on(&daemon, "app:0.0.1"));
    let expected: [(&str, &[&str]); 10] = [
        ("/", &["ro", "nosuid", "nodev"]),
        ("/proc", &["ro", "nosuid", "nodev", "noexec"]),
        ("/sys", &["ro", "nosuid", "nodev", "noexec"]),
        ("/tmp", &["rw", "nosuid", "nodev", "noexec"]),
        ("/data", &["rw", "nosuid", "nodev", "noexec"]),
        ("/dev", &["nosuid", "noexec"]),
        ("/res", &["ro", "nosuid", "nodev", "noexec"]),
        ("/ro", &["ro"]),
        ("/rw", &["rw", "nosuid", "nodev"]),
        ("/strict", &["rw", "nosuid", "nodev", "noexec"]),
    ];
    for (target, wanted) in expected {
        let found = options
            .get(target)
            .unwrap_or_else(|| panic!("{target} is not mounted: {options:?}"));
        let mut found: Vec<&str> = found
            .iter()
            .map(String::as_str)
            .filter(|option| !option.ends_with("atime"))
            .collect();
        if target == "/dev" {
            found.retain(|option| !matches!(*option, "ro" | "rw"));
        }
        assert_eq!(found, wanted, "{target}");
    }
    daemon.stop();
}

#[test]
fn host_file_systems_are_out_of_sight() {
    let output = run(&Package::app("app", &["mounts"]));
    let targets: Vec<String> = mount_options(&output).into_keys().collect();
    for target in &targets {
        let own = target == "/" || target.starts_with("/dev") || target.starts_with("/proc");
        assert!(own, "{target} is no mount of the manifest: {targets:?}");
    }
}

#[test]
fn dev_is_the_runtimes_own() {
    let output = run(&Package::app("app", &["list", "/dev"]));
    let expected = [
        "/dev/fd link /proc/self/fd",
        "/dev/full char 1:7",
        "/dev/null char 1:3",
        "/dev/ptmx link pts/ptmx",
        "/dev/pts directory",
        "/dev/random char 1:8",
        "/dev/shm directory",
        "/dev/stderr link /proc/self/fd/2",
        "/dev/stdin link /proc/self/fd/0",
        "/dev/stdout link /proc/self/fd/1",
        "/dev/tty char 5:0",
        "/dev/urandom char 1:9",
        "/dev/zero char 1:5",
    ];
    assert_eq!(output, expected);
}

#[test]
fn missing_bind_source_stops_the_start() {
    let site = Site::new();
    site.pack(
        &Package::app("app", &["exit", "0"]).mount("/x", "{type: bind, host: /no/such/source}"),
    );
    let daemon = site.start();
    assert!(start_failure(&daemon, "app:0.0.1").contains("/no/such/source"));
    daemon.stop();
}

#[test]
fn missing_bind_source_is_skipped_on_request() {
    let site = Site::new().repository_option("missing = \"skip\"");
    site.pack(
        &Package::app("app", &["exit", "0"]).mount("/x", "{type: bind, host: /no/such/source}"),
    );
    let daemon = site.start();
    run_on(&daemon, "app:0.0.1");
    daemon.stop();
}

#[test]
fn unknown_group_stops_the_start() {
    let site = Site::new();
    site.pack(&Package::app("app", &["exit", "0"]).field("suppl_groups: [no-such-group]"));
    let daemon = site.start();
    assert!(start_failure(&daemon, "app:0.0.1").contains("no-such-group"));
    daemon.stop();
}

#[test]
fn missing_network_namespace_stops_the_start() {
    let site = Site::new();
    site.pack(&Package::app("app", &["exit", "0"]).field("network: !namespace no-such-namespace"));
    let daemon = site.start();
    assert!(start_failure(&daemon, "app:0.0.1").contains("no-such-namespace"));
    daemon.stop();
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

#[test]
fn newest_matching_resource_is_used() {
    let site = Site::new();
    for version in ["0.0.1", "0.9.0", "0.10.0", "1.0.0"] {
        site.pack(&Package::resource("message", version, "text", version));
    }
    site.pack(&Package::app("app", &["cat", "/res/text"]).mount(
        "/res",
        "{type: resource, name: message, version: '>=0.0.1, <1.0.0', dir: /, options: ''}",
    ));
    let daemon = site.start();
    assert_eq!(run_on(&daemon, "app:0.0.1"), ["/res/text 0.10.0"]);
    daemon.stop();
}

#[test]
fn writable_resource_stops_the_start() {
    let site = Site::new();
    site.pack(&Package::resource("message", "0.0.1", "text", "hello"));
    site.pack(&Package::app("app", &["cat", "/res/text"]).mount(
        "/res",
        "{type: resource, name: message, version: '*', dir: /, options: rw}",
    ));
    let daemon = site.start();
    assert!(start_failure(&daemon, "app:0.0.1").contains("/res"));
    daemon.stop();
}

#[test]
fn resource_directory_never_leads_out() {
    // A link as the last component, a link on the way, and a directory that only the host has.
    for directory in ["/escape", "/up/etc", "/etc"] {
        let site = Site::new();
        site.pack(
            &Package::resource("message", "0.0.1", "text", "hello")
                .link("/escape", "/etc")
                .link("/up", "../../../.."),
        );
        let mount = format!(
            "{{type: resource, name: message, version: '*', dir: {directory}, options: ''}}"
        );
        site.pack(&Package::app("app", &["cat", "/res/passwd"]).mount("/res", &mount));
        let daemon = site.start();
        assert!(start_failure(&daemon, "app:0.0.1").contains(directory));
        daemon.stop();
    }
}

#[test]
fn persistent_data_is_kept_by_repository() {
    let site = Site::new();
    site.pack(
        &Package::app("app", &["write", "/data/file", "kept"]).mount("/data", "{type: persist}"),
    );
    let daemon = site.start();
    let mut console = daemon.console();
    run_on(&daemon, "app:0.0.1");
    let directory = site.path().join("data/default/app");
    assert_eq!(fs::read_to_string(directory.join("file")).unwrap(), "kept");
    let metadata = fs::metadata(&directory).unwrap();
    assert_eq!(
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777),
        (1000, 1000, 0o700)
    );

    let wipe = json!({"uninstall": {"container": "app:0.0.1", "wipe": true}});
    assert_eq!(
        console.request(&wipe),
        json!({"uninstall": {"ok": {"container": "app:0.0.1"}}})
    );
    assert!(!directory.exists());
    daemon.stop();
}

#[test]
fn data_of_0_9_is_moved_once() {
    let site = Site::new();
    let old = site.path().join("data/app");
    fs::create_dir_all(&old).unwrap();
    fs::write(old.join("file"), "from 0.9").unwrap();
    std::os::unix::fs::chown(&old, Some(1000), Some(1000)).unwrap();
    site.pack(&Package::app("app", &["cat", "/data/file"]).mount("/data", "{type: persist}"));
    let daemon = site.start();
    assert_eq!(run_on(&daemon, "app:0.0.1"), ["/data/file from 0.9"]);
    assert!(!old.exists());
    assert!(site.path().join("data/default/app/file").exists());
    daemon.stop();
}

#[test]
fn rlimits_are_applied() {
    let package = Package::app("app", &["cat", "/proc/self/limits"])
        .field("rlimits: {nofile: {soft: 100, hard: 200}}");
    let output = run(&package);
    let words: Vec<&str> = output
        .iter()
        .find(|line| line.contains("Max open files"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert!(
        words.windows(2).any(|pair| pair == ["100", "200"]),
        "{words:?}"
    );
}

#[test]
fn image_is_read_only_and_tmpfs_is_limited() {
    let site = Site::new();
    site.pack(&Package::app("ro", &["write", "/file", "x"]));
    site.pack(
        &Package::app("tmp", &["write", "/tmp/file", "x"])
            .mount("/tmp", "{type: tmpfs, size: 4096}"),
    );
    let daemon = site.start();
    // EROFS is 30.
    assert_eq!(run_on(&daemon, "ro:0.0.1"), ["/file error 30"]);
    assert_eq!(run_on(&daemon, "tmp:0.0.1"), ["/tmp/file written"]);
    daemon.stop();
}

#[test]
fn a_line_without_end_costs_no_memory_and_stops_nobody() {
    let site = Site::new();
    site.pack(&Package::app("flood", &["long-line", "50000000"]));
    site.pack(&Package::app("other", &["print", "still here"]));
    let daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("flood:0.0.1");
    console.start_ok("other:0.0.1");
    daemon.expect_output("other:0.0.1", |line| line == "still here");
    while console.expect_exit("flood:0.0.1") != json!({"exit": {"code": 0}}) {}
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kibibytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(
        kibibytes < 56 * 1024,
        "50 MB of output made the daemon {kibibytes} KiB large"
    );
    daemon.stop();
}

#[test]
fn pids_are_limited_without_being_asked() {
    let site = Site::new();
    site.pack(&Package::app("bomb", &["fork-children", "5000"]));
    let daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("bomb:0.0.1");
    let line = daemon.expect_output("bomb:0.0.1", |line| line.starts_with("children "));
    let children: u32 = line.trim_start_matches("children ").parse().unwrap();
    assert!(children < 5000, "{children} children");
    console.kill("bomb:0.0.1", 9);
    assert_eq!(
        console.expect_exit("bomb:0.0.1"),
        json!({"signalled": {"signal": 9}})
    );
    daemon.stop();
}

/// Without SELinux there is nothing that a label could mean.
#[test]
fn labels_of_a_manifest_do_not_matter_without_selinux() {
    let package = Package::app("app", &["print", "runs"])
        .field("selinux: {mount_context: 'user_u:role_r:image_t', exec: 'user_u:role_r:app_t'}");
    assert_eq!(run(&package), ["runs"]);
}
