//! Namespaces, and what a container can see of the host and of init.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use northstar_sandbox::plan::{DescriptorIndex, MountKind, NetworkPlan, Sched};
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

pub fn init_is_opaque(world: &World) {
    let script = "for f in fd environ root cwd exe maps; do
            (cat /proc/1/$f || ls /proc/1/$f/ || readlink /proc/1/$f) 2>/dev/null \
                && echo readable $f
        done
        echo done";
    let output = world.shell(script);
    assert_eq!(output, "done\n");
}

/// Init maps libraries of the host. Who may trace it and has CAP_CHECKPOINT_RESTORE would open them, for writing, too.
pub fn libraries_of_init_are_out_of_reach(world: &World) {
    let mut plan = shell(
        "ls /proc/self/map_files | head -c 1 | wc -c; head -c 1 </proc/1/maps | wc -c
         for tree in 1 1/task/1; do
             for file in /proc/$tree/map_files/*; do (: <$file) 2>/dev/null && echo $file; done
         done
         echo done",
    );
    plan.capabilities = capabilities(&[
        "CAP_CHECKPOINT_RESTORE",
        "CAP_DAC_OVERRIDE",
        "CAP_SYS_PTRACE",
    ]);
    // Both are there for who may trace, and yet nothing can be opened.
    let output = world.run(&plan).unwrap().expect_success();
    assert_eq!(output, "1\n1\ndone\n");
}

pub fn init_has_no_privileges(world: &World) {
    let paused = program(&["/bin/probe", "pause"]);
    let mut running = world.arm().go(world, &paused, &[]).unwrap();
    assert_eq!(running.line(), "ready");
    let pid = running.init.pid;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert_eq!(status_value(&status, "Seccomp"), "2");
    assert_eq!(status_value(&status, "Name"), "northstar-init");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status_value(&status, set), "0000000000000000", "{set}");
    }
    assert_eq!(status_value(&status, "NoNewPrivs"), "1");
    // Only the control socket and the signal descriptor beside the three standard streams, which
    // are /dev/null.
    let links = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| {
            fs::read_link(entry.unwrap().path())
                .unwrap()
                .display()
                .to_string()
        });
    let mut links = links.collect::<Vec<_>>();
    links.sort_unstable();
    links.dedup();
    let kinds = links
        .iter()
        .map(|l| l.split(':').next().unwrap().to_owned())
        .collect::<Vec<_>>();
    assert!(kinds.iter().any(|kind| kind == "socket"), "{links:?}");
    assert!(
        links.len() <= 3 && Path::new(&links[0]) == Path::new("/dev/null"),
        "{links:?}"
    );
    // A signal needs the borrowed user: afterwards init is as opaque and as mortal as before.
    running.init.control.signal(0).unwrap();
    running.init.control.signal(9).unwrap();
    assert_eq!(running.finish(world).status, ExitStatus::Signal(9));
}

/// The first instructions of a payload that may trace init find one that has nothing to give, even
/// when the payload takes the only processor away from init as soon as it can.
pub fn init_is_harmless_before_the_first_instruction(world: &World) {
    let mut plan = program(&["/bin/probe", "init"]);
    // Tracing is what makes init's descriptors visible; its directory belongs to root.
    plan.capabilities = capabilities(&["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]);
    let forker = rustix::process::Pid::from_raw(world.forker().pid());
    let everywhere = rustix::thread::sched_getaffinity(forker).unwrap();
    let first = (0..).find(|cpu| everywhere.is_set(*cpu)).unwrap();
    let mut alone = rustix::thread::CpuSet::new();
    alone.set(first);
    for (sched, cpus) in [
        (None, &everywhere),
        (None, &alone),
        (Some(Sched::Fifo { priority: 90 }), &alone),
    ] {
        plan.sched = sched;
        // Init and payload inherit the processors of the forker.
        rustix::thread::sched_setaffinity(forker, cpus).unwrap();
        let runs = (0..40).map(|_| world.run(&plan)).collect::<Vec<_>>();
        rustix::thread::sched_setaffinity(forker, &everywhere).unwrap();
        for (round, run) in runs.into_iter().enumerate() {
            let seen = run.unwrap().expect_success();
            let case = format!("{sched:?}, round {round}: {seen}");
            assert_eq!(status_value(&seen, "Name"), "northstar-init", "{case}");
            assert_eq!(status_value(&seen, "Seccomp"), "2", "{case}");
            assert_eq!(status_value(&seen, "NoNewPrivs"), "1", "{case}");
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(status_value(&seen, set), "0000000000000000", "{case}");
            }
            let links = seen.lines().filter_map(|line| line.strip_prefix("link "));
            let links = links.collect::<Vec<_>>();
            assert!(links.contains(&"/dev/null"), "{case}");
            for link in links {
                // What tells init that the payload was executed is a file that nobody can write.
                let file = ["/dev/null", "/2/stat"].contains(&link);
                let handle = ["socket:", "pipe:", "anon_inode:[signalfd]"];
                let handle = handle.iter().any(|kind| link.starts_with(kind));
                assert!(file || handle, "{link} in {case}");
            }
        }
    }
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

/// Who may trace init has it call what it likes. It has no way to get at anything, nor to give the daemon descriptors,
/// which the daemon might have to wait for when it closes them.
pub fn traced_init_has_no_call_to_reach_out(world: &World) {
    let answers = [
        ("sendto", "EBADF"),
        ("read", "EBADF"),
        ("sendmsg", "EPERM"),
        ("sendmmsg", "EPERM"),
        ("openat", "EPERM"),
        ("setns", "EPERM"),
        ("ioctl", "EPERM"),
        ("pidfd_getfd", "EPERM"),
        ("execveat", "EPERM"),
        ("dup", "EPERM"),
        ("splice", "EPERM"),
    ];
    let argv = ["/bin/probe", "hijack"].into_iter();
    let argv = argv.chain(answers.map(|(call, _)| call));
    let mut plan = program(&argv.collect::<Vec<_>>());
    plan.capabilities = capabilities(&["CAP_SYS_PTRACE"]);
    let expected = answers.map(|(call, answer)| format!("{call} {answer}\n"));
    let finished = world.run(&plan).unwrap();
    assert_eq!(finished.expect_success(), expected.concat());
}

/// A daemon that the kernel must not kill for memory has no containers that it must not kill. To be protected takes
/// CAP_SYS_RESOURCE; to be preferred, which stays, does not.
pub fn containers_are_not_protected_from_lack_of_memory(world: &World) {
    let score = |pid: i32| format!("/proc/{pid}/oom_score_adj");
    let forker = score(world.forker().pid());
    let before = fs::read_to_string(&forker).unwrap();
    let may_protect = caps::has_cap(
        None,
        caps::CapSet::Effective,
        caps::Capability::CAP_SYS_RESOURCE,
    );
    let mut cases = vec![("300", "300")];
    if may_protect.unwrap() {
        cases.extend([("-500", "0"), ("-1000", "0")]);
    }
    for (given, expected) in cases {
        fs::write(&forker, given).unwrap();
        let started = world.arm().go(
            world,
            &shell("cat /proc/self/oom_score_adj; exec sleep 60"),
            &[],
        );
        fs::write(&forker, &before).unwrap();
        let mut running = started.unwrap();
        assert_eq!(running.line(), expected, "{given}");
        let init = fs::read_to_string(score(running.init.pid)).unwrap();
        assert_eq!(init.trim(), expected, "{given}");
        running.init.control.signal(9).unwrap();
        assert_eq!(running.finish(world).status, ExitStatus::Signal(9));
    }
}

/// A daemon may have to be served before others; what it starts may not. Neither init nor the payload has its scheduling,
/// and the forker keeps it.
pub fn containers_are_scheduled_as_ordinary_processes(world: &World) {
    let forker = world.forker().pid();
    let run = |command: &[&str]| {
        let status = Command::new(command[0]).args(&command[1..]).status();
        assert!(status.unwrap().success(), "{command:?}");
    };
    // Nice value, real-time priority and policy of proc_pid_stat(5), and the class of the I/O.
    let scheduling = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        let fields = after_name.split_whitespace().collect::<Vec<_>>();
        let output = Command::new("ionice")
            .args(["-p", &pid.to_string()])
            .output();
        let class = String::from_utf8(output.unwrap().stdout).unwrap();
        let class = class.split(':').next().unwrap().trim().to_owned();
        ([16, 37, 38].map(|n| fields[n].to_owned()), class)
    };
    let ordinary = (["0", "0", "0"].map(str::to_owned), "none".to_owned());
    let pid = forker.to_string();
    let undo: [&[&str]; 3] = [
        &["chrt", "--other", "--pid", "0", &pid],
        &["renice", "-n", "0", "-p", &pid],
        &["ionice", "-c", "0", "-p", &pid],
    ];
    let cases: [&[&str]; 6] = [
        &["renice", "-n", "-7", "-p", &pid],
        &["renice", "-n", "7", "-p", &pid],
        &["chrt", "--fifo", "--pid", "3", &pid],
        &["chrt", "--batch", "--pid", "0", &pid],
        &["ionice", "-c", "1", "-n", "2", "-p", &pid],
        &["ionice", "-c", "3", "-p", &pid],
    ];
    // These tests may be run with a nice value of their own.
    undo.iter().for_each(|command| run(command));
    assert_eq!(scheduling(forker), ordinary);
    for case in cases {
        run(case);
        let raised = scheduling(forker);
        assert_ne!(raised, ordinary, "{case:?}");
        let started = world
            .arm()
            .go(world, &shell("echo ready; exec sleep 60"), &[]);
        assert_eq!(scheduling(forker), raised, "{case:?}");
        undo.iter().for_each(|command| run(command));
        let mut running = started.unwrap();
        assert_eq!(running.line(), "ready", "{case:?}");
        let init = running.init.pid;
        let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
        let payload = children.trim().parse().unwrap();
        for pid in [init, payload] {
            assert_eq!(scheduling(pid), ordinary, "{case:?}");
        }
        running.init.control.signal(9).unwrap();
        assert_eq!(running.finish(world).status, ExitStatus::Signal(9));
    }
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
