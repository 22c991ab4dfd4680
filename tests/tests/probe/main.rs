//! What a container can see and may do, from the inside: six manifests, more than two hundred checks each, and each
//! check has exactly the value that is expected.
//!
//! The expected values are data, in this folder: `minimal.expected` is complete, the others hold what differs from it, and
//! `vm.expected` holds, by manifest, what differs again in the virtual machine, whose kernel is another one. A line is
//! `CHECK = VALUE`; `VALUE | VALUE` where the configuration of the kernel decides and each of them is safe; `VALUE | absent` where it decides whether there is anything to check; `- CHECK`
//! for a check that this manifest does not have.

mod alone;

use std::{collections::BTreeMap, fs, path::Path, sync::OnceLock};

use northstar_tests::{Package, Site, in_virtual_machine};
use serde_json::{Value, json};

/// Least number of checks of a manifest.
const CHECKS: usize = 120;

const MINIMAL: &str = include_str!("minimal.expected");
const VM: &str = include_str!("vm.expected");

type Document = BTreeMap<String, String>;

#[test]
fn minimal_manifest_gives_the_minimum() {
    check("minimal", "");
}

#[test]
fn every_mount_and_gift_is_exactly_what_was_asked_for() {
    check("everything", include_str!("everything.expected"));
}

#[test]
fn granted_capabilities_give_nothing_else() {
    check("capabilities", include_str!("capabilities.expected"));
}

#[test]
fn default_profile_closes_what_programs_do_not_need() {
    check("seccomp", include_str!("seccomp.expected"));
}

#[test]
fn host_network_opens_the_network_alone() {
    check("network", include_str!("network.expected"));
}

/// In a namespace of their own, capabilities that would open the host are worth nothing.
#[test]
fn capabilities_of_a_user_namespace_stay_in_it() {
    let observed = &observations()["userns"];
    if in_virtual_machine() {
        // Its kernel cannot map the ids of an image, and nothing less is good enough.
        assert!(observed.starts_with("id-map /"), "{observed}");
    } else {
        check("userns", include_str!("userns.expected"));
    }
}

const EVERY_CAPABILITY: &str = "capabilities: [CAP_AUDIT_CONTROL, CAP_AUDIT_READ, CAP_AUDIT_WRITE, CAP_BLOCK_SUSPEND, CAP_BPF, \
     CAP_CHECKPOINT_RESTORE, CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_IPC_LOCK, \
     CAP_IPC_OWNER, CAP_KILL, CAP_LEASE, CAP_LINUX_IMMUTABLE, CAP_MAC_ADMIN, CAP_MAC_OVERRIDE, CAP_MKNOD, \
     CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_BROADCAST, CAP_NET_RAW, CAP_PERFMON, CAP_SETFCAP, CAP_SETGID, \
     CAP_SETPCAP, CAP_SETUID, CAP_SYSLOG, CAP_SYS_ADMIN, CAP_SYS_BOOT, CAP_SYS_CHROOT, CAP_SYS_MODULE, CAP_SYS_NICE, \
     CAP_SYS_PACCT, CAP_SYS_PTRACE, CAP_SYS_RAWIO, CAP_SYS_RESOURCE, CAP_SYS_TIME, CAP_SYS_TTY_CONFIG, CAP_WAKE_ALARM]";

fn package(manifest: &str) -> Package {
    Package::app(manifest, &["probe"])
}

/// The six manifests.
fn packages(site: &Site) -> Vec<Package> {
    let capabilities = "capabilities: [CAP_DAC_OVERRIDE, CAP_KILL, CAP_MKNOD, CAP_NET_RAW, CAP_SETUID, CAP_SYS_CHROOT, CAP_SYS_PTRACE]";
    vec![
        package("minimal"),
        everything(site),
        package("capabilities").field(capabilities),
        package("seccomp").field("seccomp: {profile: default}"),
        package("network").field("network: host"),
        package("userns")
            .field("userns: true")
            .field(EVERY_CAPABILITY),
    ]
}

/// Each kind of mount and each kind of gift.
fn everything(site: &Site) -> Package {
    let shared = site.path().join("shared");
    fs::create_dir(&shared).expect("a directory can be made");
    std::os::unix::fs::chown(&shared, Some(1000), Some(1000)).expect("root may give it away");
    let bind = |options: &str| {
        let host = shared.display();
        format!("{{type: bind, host: {host}, options: '{options}'}}")
    };
    let resource = "{type: resource, name: message, version: '*', dir: /, options: noexec}";
    site.pack(&Package::resource("message", "0.0.1", "text", "hello"));
    package("everything")
        .mount("/sys", "{type: sysfs}")
        .mount("/tmp", "{type: tmpfs, size: 16MiB}")
        .mount("/data", "{type: persist}")
        .mount("/bind-ro", &bind(""))
        .mount("/bind-rw", &bind("rw,nosuid,nodev,noexec"))
        .mount("/res", resource)
        .mount("/run/sockets", "{type: sockets}")
        .field("console: {permissions: [ident]}")
        .field("sockets: {hello: {type: stream, mode: 0o600, uid: 1000, gid: 1000}}")
        .field("rlimits: {nofile: {soft: 100, hard: 200}, core: {soft: 0, hard: 0}}")
        .field("sched: {policy: !batch {nice: 5}}")
        .field("env: {THREADS: 4}")
}

/// What the probe observed, by manifest: one daemon runs all of them, one after the other.
fn observations() -> &'static BTreeMap<String, String> {
    static OBSERVATIONS: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    OBSERVATIONS.get_or_init(|| {
        let site = Site::new();
        let packages = packages(&site);
        observe(&site, &packages)
    })
}

/// Runs packages one after the other and returns what each wrote, by its name.
fn observe(site: &Site, packages: &[Package]) -> BTreeMap<String, String> {
    packages.iter().for_each(|package| drop(site.pack(package)));
    let daemon = site.start();
    let mut console = daemon.console();
    let mut observations = BTreeMap::new();
    for container in packages.iter().map(Package::container) {
        // Shown if the test fails.
        println!("{container}");
        let (name, _) = container.split_once(':').expect("a name and a version");
        if name == "userns" && in_virtual_machine() {
            let failure = console.start_failure(&container);
            observations.insert(
                name.to_owned(),
                format!("{} {}", failure.step, failure.detail),
            );
            continue;
        }
        console.start_ok(&container);
        let status = console.expect_exit(&container);
        let output = daemon.complete_output(&container);
        assert_eq!(status, json!({"exit": {"code": 0}}), "{}", daemon.log());
        observations.insert(name.to_owned(), output.join("\n"));
    }
    daemon.stop();
    observations
}

/// Compares what the probe observed with what the tables say.
fn check(manifest: &str, differences: &str) {
    let wrong = compare(manifest, &observations()[manifest], differences);
    assert!(wrong.is_empty(), "{wrong}");
}

/// What differs from what the tables say, in the words of a table that would expect it.
fn compare(manifest: &str, observed: &str, differences: &str) -> String {
    let observed = normalised(observed);
    assert!(observed.len() >= CHECKS, "only {} checks", observed.len());
    let mut expected = Document::new();
    apply(&mut expected, MINIMAL);
    let names = format!(
        "environment.NORTHSTAR_CONTAINER = {manifest}:0.0.1\nenvironment.NORTHSTAR_NAME = {manifest}"
    );
    apply(&mut expected, &names);
    apply(&mut expected, differences);
    if in_virtual_machine() {
        apply(&mut expected, &section(VM, manifest));
    }
    let wrong = deviations(&expected, &observed);
    if wrong.is_empty() {
        return String::new();
    }
    let (count, all, wrong) = (wrong.len(), observed.len(), wrong.join("\n"));
    format!("{manifest}: {count} of {all} checks:\n{wrong}\n")
}

/// The document of the probe, with what differs from machine to machine put into words.
fn normalised(output: &str) -> Document {
    let document: BTreeMap<String, Value> =
        serde_json::from_str(output).unwrap_or_else(|error| panic!("{error}:\n{output}"));
    document
        .into_iter()
        .map(|(check, value)| {
            let value = value.as_str().expect("observations are strings").to_owned();
            let value = in_words(&check, value);
            (of_any_processor(check), value)
        })
        .collect()
}

/// What hides an entry of each processor is one check, however many processors there are.
fn of_any_processor(check: String) -> String {
    let number = check
        .strip_prefix("mount./sys/devices/system/cpu/cpu")
        .and_then(|rest| rest.strip_suffix("/thermal_throttle"));
    if number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit())) {
        return "mount./sys/devices/system/cpu/*/thermal_throttle".to_owned();
    }
    check
}

fn in_words(check: &str, value: String) -> String {
    let either =
        |is_hosts: bool, word: &str, other: String| if is_hosts { word.to_owned() } else { other };
    if let Some(namespace) = check.strip_prefix("ns.").filter(|name| !name.contains('.')) {
        let name = namespace.trim_end_matches("_for_children");
        let host = fs::read_link(format!("/proc/self/ns/{name}")).expect("a namespace has a link");
        return either(host == Path::new(&value), "host", "private".to_owned());
    }
    if let Some(limit) = check.strip_prefix("limit.") {
        return either(value == own_limit(limit), "inherited", value);
    }
    match check {
        // The kind of a file system of the host is the host's business.
        "mount./bind-ro" | "mount./bind-rw" | "mount./data" | "mount./run/sockets" => {
            let words: Vec<&str> = value.split(' ').skip(1).take(2).collect();
            format!("host's {}", words.join(" "))
        }
        "process.oom_score_adj" => {
            let own = fs::read_to_string("/proc/self/oom_score_adj").expect("a process has one");
            either(own.trim_end() == value, "inherited", value)
        }
        "network.foreign_unix_sockets" => either(value != "0", "some", value),
        "process.hostname" => {
            let host =
                fs::read_to_string("/proc/sys/kernel/hostname").expect("the host has a name");
            either(host.trim_end() == value, "of the host", value)
        }
        "network.interfaces" => {
            either(value != "lo" && value == interfaces(), "of the host", value)
        }
        _ => value,
    }
}

/// The limit of this process, which the daemon and its containers inherit; `name` as in `/proc/self/limits`.
fn own_limit(name: &str) -> String {
    let limits = fs::read_to_string("/proc/self/limits").expect("a process has limits");
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("there is no limit called {name}"));
    line.split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(":")
}

fn interfaces() -> String {
    let table = fs::read_to_string("/proc/net/dev").expect("the host has interfaces");
    let names = table
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim()));
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.join(",")
}

/// The lines below `[NAME]`.
fn section(text: &str, name: &str) -> String {
    let header = format!("[{name}]");
    text.lines()
        .skip_while(|line| *line != header)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Puts the lines of a table over what is expected so far.
fn apply(expected: &mut Document, table: &str) {
    for line in table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(check) = line.strip_prefix("- ") {
            assert!(
                expected.remove(check).is_some(),
                "there is no {check} to leave out"
            );
        } else {
            let (check, value) = line
                .split_once(" = ")
                .unwrap_or_else(|| panic!("no value: {line}"));
            expected.insert(check.to_owned(), value.to_owned());
        }
    }
}

/// What differs, in the words of a table that would expect it.
fn deviations(expected: &Document, observed: &Document) -> Vec<String> {
    let mut wrong = Vec::new();
    for (check, value) in observed {
        let allowed = expected.get(check);
        if !allowed.is_some_and(|allowed| allowed.split(" | ").any(|allowed| allowed == value)) {
            let allowed = allowed.map_or("absent", String::as_str);
            wrong.push(format!("# expected {allowed}\n{check} = {value}"));
        }
    }
    for (check, allowed) in expected {
        let may_be_absent = allowed.split(" | ").any(|allowed| allowed == "absent");
        if !may_be_absent && !observed.contains_key(check) {
            wrong.push(format!("- {check}"));
        }
    }
    wrong
}
