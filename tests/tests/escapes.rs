//! The classic ways out of a container, each tried for real. docs/threats.md says where they come from.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::{PermissionsExt, chown},
            net::{SocketAddr, UnixDatagram},
        },
    },
    path::Path,
    thread,
    time::Duration,
};

use nix::errno::Errno;
use northstar_tests::{
    Canary, Daemon, PATIENCE, Package, Residue, Site, eventually,
    image::{Node, Tree},
    in_virtual_machine, programs, raw,
    residue::process_tree,
};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Runs a container to its good end and returns what it wrote.
fn run(daemon: &Daemon, container: &str) -> Vec<String> {
    let mut console = daemon.console();
    console.start_ok(container);
    let status = console.expect_exit(container);
    assert_eq!(status, json!({"exit": {"code": 0}}), "{}", daemon.log());
    daemon.complete_output(container)
}

/// Packs one package, runs it, and returns what it wrote.
fn run_alone(site: &Site, package: &Package) -> Vec<String> {
    site.pack(package);
    let daemon = site.start();
    let output = run(&daemon, &package.container());
    daemon.stop();
    output
}

/// A package whose image is made by hand, in a repository without key.
fn run_image(tree: &Tree, fields: &str, arguments: &[&str]) -> Vec<String> {
    let site =
        Site::new().tables("[repositories.open]\ntype = { fs = { dir = \"DIRECTORY/open\" } }\n");
    fs::create_dir(site.path().join("open")).unwrap();
    let manifest = format!(
        "name: app\nversion: 0.0.1\nuid: 1000\ngid: 1000\ninit: /test-container\nargs: {}\n\
         io: {{stdout: pipe, stderr: pipe}}\n{fields}\n",
        json!(arguments)
    );
    let package = raw::unsigned(manifest.as_bytes(), &tree.pack());
    fs::write(site.path().join("open/app.npk"), package).unwrap();
    let canary = Canary::new(site.path());
    let daemon = site.start();
    let output = run(&daemon, "app:0.0.1");
    daemon.stop();
    canary.assert_untouched("the container");
    output
}

const MOUNTS: &str = "mounts: {/proc: {type: proc}, /dev: {type: dev}}";

/// With every capability that chroot(2) and mounts take, the top that `..` leads to is the image.
#[test]
fn chroot_with_all_it_takes_stays_inside_the_image() {
    let package = Package::app("app", &["chroot-escape"])
        .mount("/tmp", "{type: tmpfs, size: 64KiB}")
        .field("capabilities: [CAP_DAC_OVERRIDE, CAP_SYS_ADMIN, CAP_SYS_CHROOT]");
    let output = run_alone(&Site::new(), &package);
    let expected = [
        "mkdir ok",
        "chroot ok",
        "fchdir ok",
        "chroot up ok",
        "root dev proc test-container tmp",
    ];
    assert_eq!(output, expected);
}

#[test]
fn chroot_takes_a_capability() {
    let package =
        Package::app("app", &["chroot-escape"]).mount("/tmp", "{type: tmpfs, size: 64KiB}");
    let output = run_alone(&Site::new(), &package);
    assert_eq!(output[1], "chroot EPERM", "{output:?}");
}

/// The owner of the daemon's program, with the right to trace and to ignore modes, cannot change it through any process
/// that a container sees.
#[test]
fn program_of_the_daemon_cannot_be_overwritten() {
    let site = Site::new();
    let program = site.path().join("northstar");
    fs::copy(&programs().northstar, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
    chown(&program, Some(1000), Some(1000)).unwrap();
    let digest = || Sha256::digest(fs::read(&program).unwrap());
    let before = digest();

    let paths = [
        "/proc/1/exe",
        "/proc/self/exe",
        "/proc/1/root/test-container",
        "/proc/1/task/1/exe",
    ];
    let arguments: Vec<&str> = ["overwrite"].into_iter().chain(paths).collect();
    let seccomp = "seccomp: {profile: default}";
    let capabilities = "capabilities: [CAP_DAC_OVERRIDE, CAP_SYS_PTRACE]";
    site.pack(&Package::app("owner", &arguments).field(capabilities));
    site.pack(
        &Package::app("filtered", &arguments)
            .field(capabilities)
            .field(seccomp),
    );
    site.pack(&Package::app("plain", &arguments));
    let launcher = format!("exec {} \"$@\"", program.display());
    let daemon = site.start_through(&["sh", "-c", &launcher]);
    for container in ["owner:0.0.1", "filtered:0.0.1", "plain:0.0.1"] {
        let output = run(&daemon, container);
        assert_eq!(output.len(), 3 * paths.len(), "{output:?}");
        for line in output {
            // EPERM, EACCES, ETXTBSY, EROFS.
            let refused = ["1", "13", "26", "30"]
                .iter()
                .any(|errno| line.ends_with(&format!(" error {errno}")));
            assert!(refused, "{container}: {line}");
        }
    }
    daemon.stop();
    assert_eq!(digest(), before);
}

/// A daemon that was started with 500 open descriptors in a directory of the host passes none of them on.
#[test]
fn leaked_descriptors_and_directory_do_not_arrive() {
    let site = Site::new();
    site.pack(&Package::app("descriptors", &["descriptors"]));
    site.pack(&Package::app("directory", &["directory"]));
    let sentinel = site.path().join("sentinel");
    fs::write(&sentinel, "secret").unwrap();
    let leak = format!(
        "for number in $(seq 10 509); do eval \"exec $number<>{}\"; done; cd {}; exec \"$0\" \"$@\"",
        sentinel.display(),
        site.path().display()
    );
    let daemon = site.start_through(&["bash", "-c", &leak]);
    assert_eq!(run(&daemon, "directory:0.0.1"), ["directory /"]);
    let output = run(&daemon, "descriptors:0.0.1");
    let numbers: Vec<&str> = output
        .iter()
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    assert_eq!(numbers, ["0", "1", "2"], "{output:?}");
    daemon.stop();
}

/// Not even who may make device nodes and ignore modes opens one of an image.
#[test]
fn device_nodes_of_an_image_stay_closed() {
    let tree = Tree::runnable()
        .with("/loop", Node::Block(7, 0))
        .with("/disk", Node::Block(254, 0))
        .with("/null", Node::Character(1, 3));
    let fields = format!("capabilities: [CAP_DAC_OVERRIDE, CAP_MKNOD, CAP_SYS_RAWIO]\n{MOUNTS}");
    let output = run_image(&tree, &fields, &["cat", "/loop", "/disk", "/null"]);
    assert_eq!(
        output,
        ["/loop error 13", "/disk error 13", "/null error 13"]
    );
}

/// A persistent directory is on a disk of the host, and its file system opens every file by a number.
#[test]
fn persistent_directory_does_not_open_the_rest_of_its_disk() {
    for filter in [
        "",
        "seccomp: {profile: default}",
        "seccomp: {profile: default, allow: {open_by_handle_at: any}}",
    ] {
        let package = Package::app("app", &["open-by-handle", "/data"])
            .mount("/data", "{type: persist}")
            .field("capabilities: [CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH]")
            .field(filter);
        let output = run_alone(&Site::new(), &package);
        assert_eq!(output, ["open_by_handle_at EPERM"], "{filter}");
    }
}

/// Abstract addresses are those of the network that a socket was made in, and the daemon makes sockets for containers.
#[test]
fn sockets_of_a_container_do_not_lead_into_the_network_of_the_host() {
    let name = format!("northstar-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let host = UnixDatagram::bind_addr(&address).unwrap();
    host.set_nonblocking(true).unwrap();
    let refused = format!("word error {}", Errno::ECONNREFUSED as i32);
    let mut cases = vec![("private", "", refused.as_str())];
    if !in_virtual_machine() {
        cases.push(("userns", "userns: true", &refused));
    }
    cases.push(("host", "network: host", "word sent"));
    let site = Site::new();
    let packages = cases.iter().map(|(app, field, _)| {
        let package = Package::app(app, &["send-abstract", &name])
            .field("sockets: {word: {type: datagram, mode: 0o600}}")
            .field(field);
        site.pack(&package);
        package.container()
    });
    let packages: Vec<String> = packages.collect();
    let daemon = site.start();
    for (container, (.., said)) in packages.iter().zip(&cases) {
        assert_eq!(run(&daemon, container), [*said], "{container}");
        let mut word = [0; 8];
        let received = host.recv(&mut word).map_err(|error| error.kind());
        let expected = if *said == refused {
            Err(ErrorKind::WouldBlock)
        } else {
            Ok(4)
        };
        assert_eq!(received, expected, "{container}");
    }
    daemon.stop();
}

/// No control group hierarchy can be had in which the kernel would run a program on the host, not even as root of a
/// user namespace.
#[test]
fn release_agent_cannot_be_set() {
    for filter in ["", "seccomp: {profile: default}"] {
        let package = Package::app("app", &["release-agent"])
            .mount("/tmp", "{type: tmpfs, size: 64KiB}")
            .field("capabilities: [CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_SETUID]")
            .field(filter);
        let output = run_alone(&Site::new(), &package);
        let writable: Vec<&String> = output
            .iter()
            .filter(|line| line.starts_with("write ") && line.ends_with(" ok"))
            .collect();
        assert_eq!(writable, Vec::<&String>::new(), "{output:?}");
        let mounts = output
            .iter()
            .take_while(|line| !line.starts_with("unshare"));
        for line in mounts {
            assert!(line.ends_with(" EPERM"), "{output:?}");
        }
    }
}

/// A fork bomb fills its own control group; everybody else goes on, and it can be killed as a whole.
#[test]
fn fork_bomb_hurts_nobody_else_and_is_killed_as_a_whole() {
    // The kernel may make a party of each session by itself, and hide who else does. To forbid that is for a whole
    // machine: for none but one of the test's own.
    let _off = in_virtual_machine().then(WithoutAutogroups::begin);
    let site = Site::new();
    site.pack(&Package::app("bomb", &["fork-bomb"]));
    site.pack(&Package::app("other", &["print", "still here"]));
    let daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("bomb:0.0.1");
    daemon.expect_output("bomb:0.0.1", |line| line == "bomb");
    let pid = console
        .inspect("bomb:0.0.1")
        .pointer("/process/pid")
        .unwrap()
        .as_i64()
        .unwrap();
    let pid = i32::try_from(pid).unwrap();
    let full = eventually("a full control group", || {
        let processes = process_tree(daemon.pid()).len();
        (processes > 100).then_some(processes)
    });
    assert_eq!(run(&daemon, "other:0.0.1"), ["still here"]);
    let answer = console.request(&json!("ident"));
    assert!(answer.pointer("/ident").is_some(), "{answer}");
    let tracked = daemon.track();
    assert!(
        tracked.processes.len() < 5000,
        "{full}, {}",
        tracked.processes.len()
    );
    assert!(tracked.processes.contains_key(&pid));

    assert_eq!(
        console.kill("bomb:0.0.1", 9),
        json!({"kill": {"ok": {"container": "bomb:0.0.1"}}})
    );
    assert_eq!(
        console.expect_exit("bomb:0.0.1"),
        json!({"signalled": {"signal": 9}})
    );
    eventually("the end of every child of the bomb", || {
        (process_tree(daemon.pid()).len() <= 3).then_some(())
    });
    daemon.stop();
}

/// A kernel that groups no processes for the sake of sessions (sched(7)), as long as this lives.
struct WithoutAutogroups(String);

impl WithoutAutogroups {
    const SWITCH: &str = "/proc/sys/kernel/sched_autogroup_enabled";

    fn begin() -> WithoutAutogroups {
        let before = fs::read_to_string(Self::SWITCH).unwrap();
        fs::write(Self::SWITCH, "0").unwrap();
        WithoutAutogroups(before)
    }
}

impl Drop for WithoutAutogroups {
    fn drop(&mut self) {
        fs::write(Self::SWITCH, &self.0).unwrap();
    }
}

/// Signals to everybody reach nobody outside, and not even the container's own init.
#[test]
fn signals_to_everybody_stay_inside() {
    let site = Site::new();
    site.pack(&Package::app("killer", &["kill-all"]).field("capabilities: [CAP_KILL]"));
    site.pack(&Package::app("other", &["wait"]));
    let mut daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("other:0.0.1");
    daemon.expect_output("other:0.0.1", |line| line == "waiting");
    let output = run(&daemon, "killer:0.0.1");
    assert!(output.contains(&"others 0".to_owned()), "{output:?}");
    assert!(output.contains(&"alive".to_owned()), "{output:?}");
    assert!(daemon.is_running());
    assert_eq!(
        console.kill("other:0.0.1", 15),
        json!({"kill": {"ok": {"container": "other:0.0.1"}}})
    );
    assert_eq!(
        console.expect_exit("other:0.0.1"),
        json!({"signalled": {"signal": 15}})
    );
    daemon.stop();
}

/// Who may trace can stop the init of the own container. That container can still be killed, and nobody else notices.
#[test]
fn traced_init_costs_its_own_container_alone() {
    let site = Site::new();
    site.pack(&Package::app("tracer", &["attach-init"]).field("capabilities: [CAP_SYS_PTRACE]"));
    site.pack(&Package::app("other", &["print", "still here"]));
    let daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("tracer:0.0.1");
    daemon.expect_output("tracer:0.0.1", |line| line == "waiting");
    assert_eq!(
        daemon.output("tracer:0.0.1", northstar_tests::Stream::Stdout)[0],
        "attach ok"
    );
    assert_eq!(run(&daemon, "other:0.0.1"), ["still here"]);
    assert_eq!(
        console.kill("tracer:0.0.1", 9),
        json!({"kill": {"ok": {"container": "tracer:0.0.1"}}})
    );
    assert_eq!(
        console.expect_exit("tracer:0.0.1"),
        json!({"signalled": {"signal": 9}})
    );
    daemon.stop();
}

/// 1 GiB without a single end of line: the daemon holds a buffer and a line, and other logs flow.
#[test]
fn gibibyte_without_newline_leaves_the_daemon_small() {
    // The emulated processor of the virtual machine would take many minutes for what the host does in seconds.
    let bytes: u64 = if in_virtual_machine() {
        1 << 24
    } else {
        1 << 30
    };
    let site = Site::new();
    site.pack(&Package::app("flood", &["long-line", &bytes.to_string()]));
    site.pack(&Package::app("other", &["print", "still here"]));
    let daemon = site.start();
    let peak = || {
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    // What the daemon takes for a container anyway.
    assert_eq!(run(&daemon, "other:0.0.1"), ["still here"]);
    let before = peak();
    // A busy machine takes its time for that much.
    let mut console = daemon.console().patient(5 * PATIENCE);
    console.start_ok("flood:0.0.1");
    let mut other = daemon.console();
    other.start_ok("other:0.0.1");
    assert_eq!(
        other.expect_exit("other:0.0.1"),
        json!({"exit": {"code": 0}})
    );
    assert_eq!(
        console.expect_exit("flood:0.0.1"),
        json!({"exit": {"code": 0}})
    );
    daemon.expect_output("flood:0.0.1", |line| line == "end of the long line");
    let grown = peak().saturating_sub(before);
    assert!(grown <= 8 * 1024, "the daemon grew by {grown} KiB");
    daemon.stop();
}

/// An image that brings links and files where the runtime's own `/proc` and `/dev` belong: masks hold, and the switch of
/// the host that `/dev/null` pointed at is what it was.
#[test]
fn image_brings_its_own_proc_and_null_device() {
    let pattern = || fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let before = pattern();
    let tree = Tree::runnable()
        .with("/dev/null", Node::link("/proc/sys/kernel/core_pattern"))
        .with("/proc/keys", Node::file("forged"))
        .with("/proc/self/attr/exec", Node::file("forged"));
    let masked = ["cat", "/proc/keys", "/proc/timer_list"];
    let output = run_image(&tree, MOUNTS, &masked);
    let is_masked = |line: &String| line.ends_with(' ') || line.ends_with(" error 2");
    assert!(
        output.len() == 2 && output.iter().all(is_masked),
        "{output:?}"
    );

    // Without a /dev of the runtime the link is what it is, and leads to a read-only switch.
    let fields = "mounts: {/proc: {type: proc}}\ncapabilities: [CAP_DAC_OVERRIDE]";
    let output = run_image(&tree, fields, &["write", "/dev/null", "|/escape"]);
    assert_eq!(output, ["/dev/null error 30"]);
    assert_eq!(pattern(), before);
}

/// A set-user-id bit and a file capability of an image are worth nothing.
#[test]
fn privileged_files_of_an_image_gain_nothing() {
    let tree = Tree::runnable()
        .with("/setuid", Node::Program(0o6755))
        .with("/capable", Node::Program(0o755))
        .capable("/capable");
    for program in ["/setuid", "/capable"] {
        let output = run_image(&tree, MOUNTS, &["execute", program, "identity"]);
        for fact in [
            "Uid: 1000 1000 1000 1000",
            "Gid: 1000 1000 1000 1000",
            "CapPrm: 0000000000000000",
            "CapEff: 0000000000000000",
            "CapAmb: 0000000000000000",
            "NoNewPrivs: 1",
        ] {
            assert!(output.contains(&fact.to_owned()), "{program}: {output:?}");
        }
    }
}

/// Whatever bytes a container prints, each line of the log begins with what the daemon says about it and has no control
/// characters.
#[test]
fn log_lines_cannot_be_forged() {
    const CORPUS: &[(&str, &str)] = &[
        ("escape sequence", "1b5b324a666f72676564"),
        ("title", "1b5d303b666f7267656407"),
        ("carriage return", "666f726765640d6f74686572"),
        ("backspace", "6162630808666f72676564"),
        ("nul", "00666f72676564"),
        ("delete", "7f666f72676564"),
        ("c1 control", "c29b324a666f72676564"),
        ("next line", "c285666f72676564"),
        ("line separator", "e280a8666f72676564"),
        ("right to left", "e280ae666f72676564"),
        ("no utf-8", "fffe80666f72676564"),
        ("overlong", "c08a666f72676564"),
        ("vertical tab", "0b0c666f72676564"),
        ("two lines", "666f726765640a666f72676564"),
    ];
    let site = Site::new();
    for (number, (_, bytes)) in CORPUS.iter().enumerate() {
        site.pack(&Package::app(
            &format!("writer-{number}"),
            &["bytes", bytes],
        ));
    }
    site.pack(&Package::app(
        "imitator",
        &[
            "print",
            "2026-01-01T00:00:00Z INFO other:0.0.1 stdout forged",
        ],
    ));
    let daemon = site.start();
    for number in 0..CORPUS.len() {
        run(&daemon, &format!("writer-{number}:0.0.1"));
    }
    run(&daemon, "imitator:0.0.1");
    let log = daemon.log();
    let mut found = 0;
    for line in log.lines().filter(|line| line.contains("forged")) {
        found += 1;
        let (head, _) = line.split_once("forged").unwrap();
        let is_tagged = head.contains("-")
            && (head.contains(" writer-") || head.contains(" imitator:0.0.1 stdout "));
        assert!(is_tagged, "{line:?}");
    }
    assert_eq!(found, CORPUS.len() + 2, "{log}");
    let controls: BTreeSet<char> = log
        .chars()
        .filter(|c| c.is_control() && *c != '\n' || matches!(c, '\u{2028}' | '\u{202e}'))
        .collect();
    assert_eq!(controls, BTreeSet::new());
    daemon.stop();
}

/// Processes in a control group and in those below it.
fn members(group: &Path) -> String {
    let below = fs::read_dir(group).into_iter().flatten().flatten();
    let below = below
        .filter(|entry| entry.path().is_dir())
        .map(|entry| members(&entry.path()));
    let own = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    below.fold(own, |all, more| all + &more)
}

/// The daemon is killed at many moments of starts: whoever was on the way is gone, and so are mounts and groups.
#[test]
fn daemon_killed_while_containers_start_leaves_nobody() {
    let site = Site::new();
    for name in ["a", "b", "c"] {
        site.pack(&Package::app(name, &["wait"]));
    }
    let moments = if in_virtual_machine() { 4 } else { 12 };
    for moment in 0..moments {
        let daemon = site.start();
        let consoles: Vec<_> = (0..3).map(|_| daemon.console()).collect();
        let mut waiting = Vec::new();
        for (mut console, name) in consoles.into_iter().zip(["a", "b", "c"]) {
            console.begin_start(&format!("{name}:0.0.1"));
            waiting.push(console);
        }
        // Not a synchronisation: any moment will do, and each round has another one.
        thread::sleep(Duration::from_millis(4 * moment));
        let tracked = daemon.kill();
        let residue = tracked.settle(Duration::from_secs(1));
        // Control groups without processes cost nothing; the next daemon removes them.
        for group in &residue.control_groups {
            assert_eq!(members(group), "", "after {} ms", 4 * moment);
        }
        let residue = Residue {
            control_groups: Vec::new(),
            ..residue
        };
        assert_eq!(residue, Residue::default(), "after {} ms", 4 * moment);
    }
}
