//! Ways to what belongs to the host: its files, its program, its descriptors, its control groups, its network.

use std::{
    fs,
    io::ErrorKind,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::{PermissionsExt, chown},
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use nix::errno::Errno;
use northstar_tests::{Package, Site, in_virtual_machine, programs};
use sha2::{Digest, Sha256};

use crate::{run, run_alone};

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
