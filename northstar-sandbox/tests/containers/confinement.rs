//! What a payload may do: capabilities, limits, scheduling, seccomp.

use std::fs::File;
use std::os::fd::AsFd;

use northstar_sandbox::plan::{
    CapabilitySet, DescriptorIndex, Rlimit, RlimitKind, Sched, SockFilter,
};
use northstar_sandbox::{ExitStatus, Step, StepError};
use northstar_sys::seccomp::{self, answer, jump_if_equal, load};

use crate::support::*;

const EINVAL: i32 = 22;
const EPERM: i32 = 1;

const SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

fn sets_of(world: &World, wanted: CapabilitySet) -> String {
    let mut plan = shell("cat /proc/self/status");
    plan.capabilities = wanted;
    world.run(&plan).unwrap().expect_success()
}

pub fn capability_sets_are_empty(world: &World) {
    let status = sets_of(world, CapabilitySet::EMPTY);
    for set in SETS {
        assert_eq!(status_value(&status, set), "0000000000000000", "{set}");
    }
    assert_eq!(status_value(&status, "NoNewPrivs"), "1");
}

/// Each one this machine can give, and all of them together.
pub fn capability_sets_are_exact(world: &World) {
    let own = caps::read(None, caps::CapSet::Permitted).unwrap();
    let each = own
        .iter()
        .map(|capability| CapabilitySet::from_iter([*capability]));
    for wanted in each.chain([CapabilitySet::from_iter(own.iter().copied())]) {
        let status = sets_of(world, wanted);
        for set in SETS {
            let found = u64::from_str_radix(status_value(&status, set), 16).unwrap();
            assert_eq!(found, wanted.bits(), "{set}");
        }
    }
    // One that the runtime itself has not got cannot be given: the start fails.
    if let Some(missing) = caps::all().difference(&own).next() {
        let mut plan = program(&["/bin/probe"]);
        plan.capabilities = CapabilitySet::from_iter([*missing]);
        let error = world.run(&plan).unwrap_err();
        assert_eq!(error, StepError::new(Step::Capabilities, EPERM, ""));
    }
}

pub fn file_capability_gains_nothing(world: &World) {
    let program = world.root.path().join("bin/privileged");
    std::fs::copy(world.root.path().join("bin/busybox"), &program).unwrap();
    // struct vfs_cap_data, revision 2: effective flag, all capabilities permitted and inheritable.
    let mut value = Vec::new();
    for word in [0x0200_0001u32, u32::MAX, u32::MAX, 0x1ff, 0x1ff] {
        value.extend(word.to_le_bytes());
    }
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&program, c"security.capability", &value, flags).unwrap();
    let mut plan = crate::support::program(&["/bin/privileged", "cat", "/proc/self/status"]);
    plan.argv[0] = "busybox".to_owned();
    // nosuid of the root is one reason, no_new_privs another: without nosuid it must hold, too.
    for nosuid in [true, false] {
        let mut arm = world.arm_plan();
        arm.root_flags.nosuid = nosuid;
        let finished = world.run_in(&arm, &[], &plan);
        match finished {
            Ok(finished) => {
                let status = finished.expect_success();
                assert_eq!(status_value(&status, "CapEff"), "0000000000000000");
                assert_eq!(status_value(&status, "CapPrm"), "0000000000000000");
            }
            // Capabilities that the bounding set forbids make execve fail.
            Err(error) => {
                assert_eq!(
                    error,
                    StepError::new(Step::Execve, EPERM, "/bin/privileged")
                );
            }
        }
    }
    std::fs::remove_file(program).unwrap();
}

pub fn rlimits_are_as_planned(world: &World) {
    let names = [
        (RlimitKind::As, "Max address space"),
        (RlimitKind::Core, "Max core file size"),
        (RlimitKind::Cpu, "Max cpu time"),
        (RlimitKind::Data, "Max data size"),
        (RlimitKind::Fsize, "Max file size"),
        (RlimitKind::Locks, "Max file locks"),
        (RlimitKind::Memlock, "Max locked memory"),
        (RlimitKind::Msgqueue, "Max msgqueue size"),
        (RlimitKind::Nice, "Max nice priority"),
        (RlimitKind::Nofile, "Max open files"),
        (RlimitKind::Nproc, "Max processes"),
        (RlimitKind::Rss, "Max resident set"),
        (RlimitKind::Rtprio, "Max realtime priority"),
        (RlimitKind::Rttime, "Max realtime timeout"),
        (RlimitKind::Sigpending, "Max pending signals"),
        (RlimitKind::Stack, "Max stack size"),
    ];
    assert_eq!(names.len(), RlimitKind::ALL.len());
    // Below every hard limit of this machine, above what the shell needs; where the hard limit is
    // 0 already there is only one value.
    let mut plan = shell("cat /proc/self/limits");
    let mut expected = Vec::new();
    for (kind, name) in names {
        let floor: u64 = match kind {
            RlimitKind::As | RlimitKind::Data | RlimitKind::Stack => 1 << 26,
            RlimitKind::Nice | RlimitKind::Rtprio | RlimitKind::Core => 0,
            _ => 100,
        };
        let (soft, hard) = (floor, if floor == 0 { 0 } else { floor + 1 });
        plan.rlimits.push(Rlimit {
            kind,
            soft: Some(soft),
            hard: Some(hard),
        });
        expected.push((name, soft, hard));
    }
    let limits = world.run(&plan).unwrap().expect_success();
    for (name, soft, hard) in expected {
        let line = limits
            .lines()
            .find(|line| line.starts_with(name))
            .expect(name);
        let mut values = line[name.len()..].split_whitespace();
        assert_eq!(values.next(), Some(soft.to_string().as_str()), "{line}");
        assert_eq!(values.next(), Some(hard.to_string().as_str()), "{line}");
    }
}

pub fn tiny_limits_do_not_get_in_the_way_of_the_start(world: &World) {
    // Each below what init and the payload itself have in use at that moment.
    for (kind, soft) in [
        (RlimitKind::As, 4 << 20),
        (RlimitKind::Data, 1 << 20),
        (RlimitKind::Stack, 64 << 10),
        (RlimitKind::Nofile, 3),
        (RlimitKind::Fsize, 0),
        (RlimitKind::Nproc, 1),
        (RlimitKind::Memlock, 0),
        (RlimitKind::Sigpending, 0),
        (RlimitKind::Msgqueue, 0),
    ] {
        let null = File::open("/dev/null").unwrap();
        let mut plan = program(&["/bin/probe", "exit", "7"]);
        plan.capabilities = capabilities(&["CAP_NET_RAW"]);
        plan.descriptors.push((DescriptorIndex(1), 9));
        plan.rlimits = vec![Rlimit {
            kind,
            soft: Some(soft),
            hard: Some(soft),
        }];
        let finished = world
            .arm()
            .go(world, &plan, &[null.as_fd()])
            .map(|r| r.finish(world));
        assert_eq!(finished.unwrap().status, ExitStatus::Code(7), "{kind:?}");
    }
}

pub fn impossible_rlimit_fails_at_its_name(world: &World) {
    let mut plan = program(&["/bin/probe"]);
    plan.rlimits = vec![Rlimit {
        kind: RlimitKind::Nofile,
        soft: Some(2),
        hard: Some(1),
    }];
    let error = world.run(&plan).unwrap_err();
    assert_eq!(error, StepError::new(Step::Rlimit, EINVAL, "nofile"));
}

pub fn scheduling_policy_is_as_planned(world: &World) {
    let field = |stat: &str, n: usize| {
        let after_name = stat.rsplit(')').next().unwrap();
        after_name
            .split_whitespace()
            .nth(n - 3)
            .unwrap()
            .parse::<i64>()
            .unwrap()
    };
    // Fields of /proc/PID/stat, proc_pid_stat(5): 19 nice, 40 real-time priority, 41 policy.
    for (sched, nice, priority, policy) in [
        (Sched::Other { nice: 5 }, 5, 0, 0),
        (Sched::Other { nice: -5 }, -5, 0, 0),
        (Sched::Batch { nice: 3 }, 3, 0, 3),
        (Sched::Idle, 0, 0, 5),
        (Sched::Fifo { priority: 7 }, 0, 7, 1),
        (Sched::RoundRobin { priority: 9 }, 0, 9, 2),
        (
            // As much as an emulated machine needs to be through in time.
            Sched::Deadline {
                runtime: 50_000_000,
                deadline: 100_000_000,
                period: 100_000_000,
            },
            0,
            0,
            6,
        ),
    ] {
        let mut plan = program(&["/bin/cat", "/proc/self/stat"]);
        plan.sched = Some(sched);
        let stat = world.run(&plan).unwrap().expect_success();
        assert_eq!(field(&stat, 41), policy, "{sched:?}: {stat}");
        assert_eq!(
            (field(&stat, 19), field(&stat, 40)),
            (nice, priority),
            "{sched:?}: {stat}"
        );
    }
}

pub fn impossible_schedule_fails(world: &World) {
    let mut plan = program(&["/bin/probe"]);
    plan.sched = Some(Sched::Fifo { priority: 100 });
    let error = world.run(&plan).unwrap_err();
    assert_eq!(error, StepError::new(Step::Scheduler, EINVAL, ""));
}

/// Answers `number` with `action` and allows the rest.
fn forbid(number: u32, action: u32) -> Vec<SockFilter> {
    let program = [
        load(seccomp::NUMBER),
        jump_if_equal(number, 0, 1),
        answer(action),
        answer(seccomp::ALLOW),
    ];
    program.map(Into::into).to_vec()
}

fn errno(number: i32) -> u32 {
    0x0005_0000 | number as u32
}

fn number(name: &str) -> u32 {
    use std::str::FromStr;
    syscalls::Sysno::from_str(name).unwrap().id() as u32
}

/// Forbids everything the payload does before the filter, and all that takes memory: the start
/// works, because nothing of that runs after it.
pub fn seccomp_program_is_installed_last(world: &World) {
    let names = [
        "setresuid",
        "setgroups",
        "capset",
        "capget",
        "prctl",
        "dup3",
        "fcntl",
        "close_range",
        "setsid",
        "openat2",
        "prlimit64",
        "getuid",
    ];
    let mut plan = program(&["/bin/sh", "-c", "id -u; cat /proc/self/status"]);
    plan.seccomp = vec![
        names
            .iter()
            .fold(vec![load(seccomp::NUMBER).into()], |mut program, name| {
                program.push(jump_if_equal(number(name), 0, 1).into());
                program.push(answer(errno(EPERM)).into());
                program
            }),
        forbid(number("getegid"), errno(EPERM)),
    ];
    plan.seccomp[0].push(answer(seccomp::ALLOW).into());
    // The shell itself needs fcntl; only what runs before execve is of interest here. One more program is always there.
    let finished = world.run(&plan).unwrap();
    let filters = finished
        .output
        .lines()
        .find(|line| line.starts_with("Seccomp_filters"));
    assert_eq!(filters, Some("Seccomp_filters:\t3"), "{finished:?}");
    assert_eq!(status_value(&finished.output, "Seccomp"), "2");
}

pub fn seccomp_program_that_forbids_execve_fails_the_start(world: &World) {
    let mut plan = program(&["/bin/probe"]);
    plan.seccomp = vec![forbid(number("execve"), errno(38))];
    let error = world.run(&plan).unwrap_err();
    assert_eq!(error, StepError::new(Step::Execve, 38, "/bin/probe"));

    const KILL_PROCESS: u32 = 0x8000_0000;
    plan.seccomp = vec![forbid(number("execve"), KILL_PROCESS)];
    let error = world.run(&plan).unwrap_err();
    assert_eq!(
        error,
        StepError::new(Step::Execve, 4, "killed by signal 31")
    );

    let impossible = SockFilter {
        code: 0xffff,
        ..answer(seccomp::ALLOW).into()
    };
    plan.seccomp = vec![vec![impossible]];
    let error = world.run(&plan).unwrap_err();
    assert_eq!(error, StepError::new(Step::Seccomp, EINVAL, ""));
}
