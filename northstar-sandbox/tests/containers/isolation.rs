//! Namespaces, and what a container can see of the host and of others.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use northstar_sandbox::plan::{DescriptorIndex, MountKind, NetworkPlan};
use northstar_sandbox::{ExitStatus, Step};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use crate::support::*;

const NAMESPACES: [&str; 6] = ["cgroup", "ipc", "mnt", "net", "pid", "uts"];

fn own(namespace: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{namespace}"))
        .unwrap()
        .display()
        .to_string()
}

fn of_container(
    world: &World,
    arm: &northstar_sandbox::plan::ArmPlan,
    more: &[File],
) -> Vec<String> {
    let script = format!(
        "for n in {}; do readlink /proc/self/ns/$n; done",
        NAMESPACES.join(" ")
    );
    let more = more.iter().map(AsFd::as_fd).collect::<Vec<_>>();
    let output = world
        .run_in(arm, &more, &shell(&script))
        .unwrap()
        .expect_success();
    output.lines().map(str::to_owned).collect()
}

pub fn namespaces_differ_from_the_host(world: &World) {
    let found = of_container(world, &world.arm_plan(), &[]);
    assert_eq!(found.len(), NAMESPACES.len());
    for (namespace, found) in NAMESPACES.iter().zip(found) {
        assert_ne!(found, own(namespace), "{namespace}");
    }
    let interfaces = world.shell("cat /proc/net/dev");
    let names = interfaces
        .lines()
        .skip(2)
        .map(|line| line.split(':').next().unwrap().trim());
    assert!(
        names
            .clone()
            .all(|name| ["lo", "sit0", "tunl0", "ip6tnl0"].contains(&name)),
        "{interfaces}"
    );
}

pub fn host_network_is_shared_only_when_asked_for(world: &World) {
    let mut arm = world.arm_plan();
    arm.network = NetworkPlan::Host;
    let found = of_container(world, &arm, &[]);
    assert!(found.contains(&own("net")), "{found:?}");
}

pub fn network_namespace_is_joined(world: &World) {
    // The namespace of an armed init serves as an existing one.
    let owner = world.arm();
    let path = format!("/proc/{}/ns/net", owner.pid);
    let expected = fs::read_link(&path).unwrap().display().to_string();
    let mut arm = world.arm_plan();
    arm.network = NetworkPlan::Join(DescriptorIndex(1));
    let found = of_container(world, &arm, &[File::open(&path).unwrap()]);
    assert!(
        found.contains(&expected) && expected != own("net"),
        "{found:?} {expected}"
    );

    // What is no network namespace never means the host's: the start fails.
    for wrong in [
        format!("/proc/{}/ns/uts", owner.pid),
        "/dev/null".to_owned(),
    ] {
        let wrong = File::open(wrong).unwrap();
        let Err(error) = world.try_arm(&arm, &[wrong.as_fd()]) else {
            panic!("armed")
        };
        assert_eq!((error.step, error.errno), (Step::Network, 22));
    }
    assert_eq!(owner.kill(world), ExitStatus::Signal(9));
}

pub fn hostname_is_set(world: &World) {
    let mut arm = world.arm_plan();
    arm.hostname = Some("inside".to_owned());
    let output = world
        .run_in(&arm, &[], &shell("cat /proc/sys/kernel/hostname"))
        .unwrap();
    assert_eq!(output.expect_success(), "inside\n");
    assert_ne!(
        fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
        "inside\n"
    );
    arm.hostname = Some("x".repeat(65));
    let Err(error) = world.try_arm(&arm, &[]) else {
        panic!("armed")
    };
    assert_eq!((error.step, error.errno), (Step::Hostname, 22));
}

pub fn chroot_escape_does_not_reach_the_host(world: &World) {
    // A file that exists on the host only; the root of containers has neither the directory.
    let canary = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
    let canary = canary.path().to_str().unwrap();
    let mut plan = program(&["/bin/probe", "escape", "/data", canary]);
    plan.capabilities = capabilities(&["CAP_SYS_CHROOT", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
    assert_eq!(world.run(&plan).unwrap().expect_success(), "contained\n");
    // The probe is able to tell: on a path that does exist in the container it says so.
    plan.argv[3] = "/data/file".to_owned();
    assert_eq!(world.run(&plan).unwrap().expect_success(), "escaped\n");
}

pub fn null_device_is_not_the_hosts(world: &World) {
    use std::os::unix::fs::MetadataExt;
    let host = || {
        let found = fs::metadata("/dev/null").unwrap();
        (found.mode(), found.uid(), found.gid(), found.ctime())
    };
    let before = host();
    // It can be used and opened again, and it cannot be changed by whoever may change any file.
    let mut plan = shell(
        "cat <&0; cat /dev/stdin; readlink /proc/self/fd/0
         chmod 000 /proc/self/fd/0 2>/dev/null || echo unchanged
         chown 1 /proc/self/fd/0 2>/dev/null || echo unchanged
         stat -L -c '%a %u %t:%T' /proc/self/fd/0",
    );
    plan.capabilities = capabilities(&["CAP_FOWNER", "CAP_CHOWN", "CAP_DAC_OVERRIDE"]);
    let output = world.run(&plan).unwrap().expect_success();
    assert_eq!(output, "/dev/null\nunchanged\nunchanged\n666 0 1:3\n");
    assert_eq!(host(), before);
}

/// What leads nowhere leads to no other container either: nobody sees what others write there, and nobody's flags and locks
/// are theirs.
pub fn null_device_is_no_other_containers(world: &World) {
    let start = |word| {
        let started = world.arm().go(world, &program(&["/bin/probe", word]), &[]);
        let mut running = started.unwrap();
        assert_eq!(running.line(), "ready");
        running
    };
    let observer = start("observe");
    let other = start("meddle");
    observer.init.control.signal(10).unwrap();
    let seen = observer.finish(world).expect_success();
    other.init.control.signal(9).unwrap();
    assert_eq!(other.finish(world).status, ExitStatus::Signal(9));
    assert_eq!(seen, "unseen, unchanged, free\n");
}

pub fn session_keyring_is_new(world: &World) {
    assert!(
        Path::new("/proc/keys").exists(),
        "this kernel has no keyrings"
    );
    let plan = program(&["/bin/probe", "keyring"]);
    let keyring = || {
        world
            .run(&plan)
            .unwrap()
            .expect_success()
            .trim()
            .parse::<i32>()
            .unwrap()
    };
    let (first, second) = (keyring(), keyring());
    assert!(
        first > 0 && second > 0 && first != second,
        "{first} {second}"
    );
}

/// CAP_DAC_READ_SEARCH is enough for open_by_handle_at(2), which opens the root of the disk that a directory is on.
pub fn files_cannot_be_opened_by_their_number(world: &World) {
    let data = tempfile::tempdir().unwrap();
    fs::set_permissions(data.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let mut arm = world.arm_plan();
    let attach = MountKind::Attach(DescriptorIndex(1));
    arm.mounts.push(planned("/data", attach, CLOSED));
    let mut plan = program(&["/bin/probe", "handle", "/data"]);
    plan.capabilities = capabilities(&["CAP_DAC_READ_SEARCH"]);
    let mount = clone(data.path(), CLOSED);
    let finished = world.run_in(&arm, &[mount.as_fd()], &plan).unwrap();
    let output = finished.expect_success();
    // By each interface of system calls that the machine has.
    assert!(output.lines().count() > 0, "{output}");
    assert!(output.lines().all(|line| line == "EPERM"), "{output}");
}

/// CAP_SYS_PTRACE is enough for pidfd_getfd(2), which does not care about pid namespaces.
pub fn descriptors_of_other_processes_cannot_be_taken(world: &World) {
    let mut plan = program(&["/bin/probe", "steal"]);
    for names in [&["CAP_SYS_PTRACE"][..], &[]] {
        plan.capabilities = capabilities(names);
        let seen = world.run(&plan).unwrap().expect_success();
        assert_eq!(seen, "0 of init, 0 of others\n", "{names:?}");
    }
}

/// A socket leads to the process at its other end (SO_PEERPIDFD), and that to all it has, in whatever pid namespace it
/// is: the daemon, for who may trace, and without any capability a container of the same user.
pub fn peers_of_sockets_are_out_of_reach(world: &World) {
    let reach = |connection: BorrowedFd<'_>, names: &[&str]| {
        let mut plan = program(&["/bin/probe", "reach", "3"]);
        plan.descriptors.push((DescriptorIndex(1), 3));
        plan.capabilities = capabilities(names);
        let running = world.arm().go(world, &plan, &[connection]).unwrap();
        let seen = running.finish(world).expect_success();
        assert_eq!(
            seen, "0 namespaces, 0 descriptors, no memory\n",
            "{names:?}"
        );
    };
    let (_ours, theirs) = UnixStream::pair().unwrap();
    reach(theirs.as_fd(), &["CAP_SYS_PTRACE", "CAP_SYS_NICE"]);

    let directory = tempfile::tempdir().unwrap();
    let address = SocketAddrUnix::new(directory.path().join("socket")).unwrap();
    let make = || rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    let (socket, connection) = (make(), make());
    rustix::net::bind(&socket, &address).unwrap();
    let mut plan = program(&["/bin/probe", "pause"]);
    plan.descriptors.push((DescriptorIndex(1), 3));
    // It listens before it is executed.
    let mut other = world.arm().go(world, &plan, &[socket.as_fd()]).unwrap();
    assert_eq!(other.line(), "ready");
    rustix::net::connect(&connection, &address).unwrap();
    for names in [&[][..], &["CAP_SYS_NICE"], &["CAP_SYS_PTRACE"]] {
        reach(connection.as_fd(), names);
    }
    other.init.control.signal(9).unwrap();
    assert_eq!(other.finish(world).status, ExitStatus::Signal(9));
}

pub fn leaked_descriptors_do_not_arrive(world: &World) {
    // Opened after the forker was made, without close-on-exec, and passed on purpose as
    // descriptors of the plan that no target names.
    let leak = File::open("/etc").unwrap();
    let leaks = (0..200).map(|_| leak.as_fd()).collect::<Vec<_>>();
    let script = "for fd in /proc/self/fd/*; do readlink $fd || true; done";
    let armed = world.try_arm(&world.arm_plan(), &leaks).unwrap();
    let output = armed
        .go(world, &shell(script), &leaks)
        .unwrap()
        .finish(world)
        .expect_success();
    assert!(!output.contains("/etc"), "{output}");
    assert!(output.lines().count() <= 4, "{output}");
}
