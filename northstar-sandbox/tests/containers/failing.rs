//! One system call after the other is made to fail: no start goes on without what it asked for.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;
use std::str::FromStr;

use northstar_sandbox::plan::{DescriptorIndex, IdRange, Rlimit, RlimitKind, Sched};
use northstar_sandbox::{Forker, ForkerEvent, InitEvent, Step};
use northstar_sys::seccomp::{self, and, answer, jump_if_equal, load};

use crate::support::*;
use crate::user::can_be_mapped;

/// A system call, perhaps only with some value in the low word of one argument, and the step that
/// has to say so when it fails.
type Failing = (&'static str, Option<(u32, u32)>, &'static str);

/// What already fails in the forker prevents the forker.
const FAILING: &[Failing] = &[
    ("setsid", None, "forker"),
    ("close_range", None, "forker"),
    ("sethostname", None, "hostname"),
    ("unshare", Some((0, CLONE_NEWNET)), "network"),
    ("unshare", Some((0, CLONE_NEWIPC)), "namespaces"),
    ("unshare", Some((0, CLONE_NEWCGROUP)), "cgroup-namespace"),
    ("clone3", None, "forker"),
    ("keyctl", None, "keyring"),
    ("statx", Some((3, STATX_MNT_ID)), "root"),
    ("readlinkat", None, "mount"),
    ("mount_setattr", None, "forker"),
    ("symlinkat", None, "mount"),
    ("getcwd", None, "working-directory"),
    ("sched_getattr", None, "init-scheduler"),
    ("ioprio_get", None, "init-scheduler"),
    ("signalfd4", None, "fork"),
    ("pipe2", None, "fork"),
    ("setgroups", None, "groups"),
    ("getgroups", None, "groups"),
    ("setresgid", None, "gid"),
    ("getresgid", None, "gid"),
    ("getresuid", None, "uid"),
    ("prctl", Some((0, PR_CAPBSET_DROP)), "drop-init"),
    ("prctl", Some((0, PR_SET_NO_NEW_PRIVS)), "drop-init"),
    ("capset", None, "drop-init"),
    ("prlimit64", Some((1, RLIMIT_CORE)), "rlimit"),
    ("sched_setattr", None, "scheduler"),
    ("dup3", Some((1, 9)), "payload-descriptors"),
    ("listen", None, "listen"),
    ("execve", None, "execve"),
    // Installed after the filter that makes it fail was. Init's comes first: the payload waits.
    ("seccomp", None, "drop-init"),
];

/// The same with a user namespace.
const FAILING_WITH_USER: &[Failing] = &[
    ("socketpair", None, "forker"),
    ("prlimit64", Some((1, RLIMIT_SIGPENDING)), "user-namespace"),
    ("unshare", Some((0, CLONE_NEWUSER)), "user-namespace"),
    ("unshare", Some((0, CLONE_NEWIPC)), "user-namespace"),
    ("kill", None, "user-namespace"),
    ("setns", Some((1, CLONE_NEWNET)), "network"),
    ("setns", Some((1, CLONE_NEWIPC)), "namespaces"),
    ("setns", Some((1, CLONE_NEWUTS)), "namespaces"),
    ("fchownat", None, "mount"),
    ("setns", Some((1, CLONE_NEWUSER)), "enter-user-namespace"),
];

const CLONE_NEWUTS: u32 = 0x0400_0000;
const CLONE_NEWUSER: u32 = 0x1000_0000;
const CLONE_NEWCGROUP: u32 = 0x0200_0000;
const CLONE_NEWIPC: u32 = 0x0800_0000;
const CLONE_NEWNET: u32 = 0x4000_0000;
const STATX_MNT_ID: u32 = 0x1000;
const PR_SET_NO_NEW_PRIVS: u32 = 38;
const PR_CAPBSET_DROP: u32 = 24;
const RLIMIT_CORE: u32 = 4;
const RLIMIT_SIGPENDING: u32 = 11;

/// Every call that fails ends the start with its step, and nothing is executed.
pub fn every_failing_call_stops_the_start(world: &World) {
    let all = FAILING.iter().chain(FAILING_WITH_USER);
    let mapped = can_be_mapped(world);
    for (number, (name, _, step)) in all.enumerate() {
        // Where the root cannot be id-mapped, that is as far as a user namespace comes.
        let beyond = ["mount", "enter-user-namespace"].contains(step);
        let with_user = number >= FAILING.len();
        let step = if with_user && beyond && !mapped {
            "id-map"
        } else {
            step
        };
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--failing", &number.to_string()])
            .arg(world.root.path())
            .output()
            .unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output, format!("{step}\n"), "{name}");
    }
}

/// A process in which one system call fails: prints the step at which a start failed.
pub fn be_a_daemon(number: &str, root: &str) -> ! {
    let number = number.parse::<usize>().unwrap();
    // Init sets what is not so already, at a step of its own.
    northstar_sys::sched::reset().unwrap();
    // Before a call fails that makes it.
    let name = format!("northstar-failing-{}", std::process::id());
    let listener = SocketAddr::from_abstract_name(name)
        .and_then(|address| UnixListener::bind_addr(&address))
        .unwrap();
    let with_user = number >= FAILING.len();
    let all = [FAILING, FAILING_WITH_USER].concat();
    let (name, condition, _) = all[number];
    let call = syscalls::Sysno::from_str(name).unwrap().id() as u32;
    const ENOMEM: u32 = 0x0005_0000 | 12;
    let allow = answer(seccomp::ALLOW);
    let mut filter = vec![load(seccomp::NUMBER), jump_if_equal(call, 1, 0), allow];
    if let Some((argument, value)) = condition {
        filter.push(load(16 + 8 * argument));
        // A flag is looked for, a number compared.
        if name == "unshare" {
            filter.push(and(value));
        }
        filter.extend([jump_if_equal(value, 1, 0), allow]);
    }
    filter.push(answer(ENOMEM));
    seccomp::install(&filter).unwrap();

    let Ok(forker) = Forker::spawn() else {
        println!("forker");
        std::process::exit(0);
    };
    let world = World::with_root(forker, root);
    let mut arm = world.arm_plan();
    arm.hostname = Some("inside".to_owned());
    arm.user = with_user.then_some(IdRange {
        first: 1_900_000_000,
        count: 65_536,
    });
    let null = File::open("/dev/null").unwrap();
    let mut plan = program(&["/bin/probe", "exit", "0"]);
    plan.descriptors = vec![(DescriptorIndex(0), 9), (DescriptorIndex(1), 10)];
    plan.rlimits.push(Rlimit {
        kind: RlimitKind::Core,
        soft: Some(0),
        hard: Some(0),
    });
    plan.sched = Some(Sched::Batch { nice: 0 });
    plan.seccomp = vec![vec![answer(seccomp::ALLOW).into()]];
    let (id, control) = world.create(&arm, &[]);
    let failure = match world.forker_event() {
        ForkerEvent::CreateFailed { error, .. } => error,
        ForkerEvent::Created { .. } => loop {
            match event(&control).unwrap() {
                InitEvent::Armed => control
                    .go(&plan, &[null.as_fd(), listener.as_fd()], &[])
                    .unwrap(),
                InitEvent::Failed(error) => break error,
                other => panic!("{id}: {other:?}"),
            }
        },
        other => panic!("{id}: {other:?}"),
    };
    let expected = if failure.step == Step::IdMap { 22 } else { 12 };
    assert_eq!(failure.errno, expected, "{failure}");
    println!("{}", failure.step);
    std::process::exit(0)
}
