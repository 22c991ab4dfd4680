//! User namespaces: ids, owners of files, and what capabilities reach.
//!
//! Where the file system of the root cannot be id-mapped, like an overlay or, before Linux 6.3, a tmpfs, the same tests
//! hold that every such start is refused.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, chown};

use northstar_sandbox::plan::{
    ArmPlan, CapabilitySet, DescriptorIndex, ExecPlan, IdRange, MountKind, NetworkPlan, Rlimit,
    RlimitKind,
};
use northstar_sandbox::{ExitStatus, Step, StepError};
use rustix::process::Resource;

use crate::support::*;

const IDS: IdRange = IdRange {
    first: 1_900_000_000,
    count: 65_536,
};
const ATTACH: MountKind = MountKind::Attach(DescriptorIndex(1));
const EINVAL: i32 = 22;

/// The usual plan with a user namespace. `None` on a root that cannot be id-mapped, if that is what a start says.
fn arm_plan(world: &World) -> Option<ArmPlan> {
    let plan = ArmPlan {
        user: Some(IDS),
        ..world.arm_plan()
    };
    if can_be_mapped(world) {
        return Some(plan);
    }
    let Err(error) = world.try_arm(&plan, &[]) else {
        panic!("armed")
    };
    assert_eq!(error, StepError::new(Step::IdMap, EINVAL, "/"));
    None
}

/// What mount_setattr(2) says of the file system that roots are on here.
pub fn can_be_mapped(world: &World) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    const EXT4: i64 = 0xef53;
    const XFS: i64 = 0x5846_5342;
    const BTRFS: i64 = 0x9123_683e;
    let uname = rustix::system::uname();
    let mut release = uname.release().to_str().unwrap().split(['.', '-']);
    let mut number = || release.next().unwrap().parse::<u32>().unwrap();
    let release = (number(), number());
    let root = rustix::fs::statfs(world.root.path()).unwrap();
    let since = match root.f_type {
        EXT4 | XFS => (5, 12),
        BTRFS => (5, 15),
        TMPFS => (6, 3),
        _ => return false,
    };
    release >= since
}

fn all() -> CapabilitySet {
    caps::all().into_iter().collect()
}

fn with(capabilities: CapabilitySet, script: &str) -> ExecPlan {
    ExecPlan {
        capabilities,
        ..shell(script)
    }
}

fn run(world: &World, arm: &ArmPlan, plan: &ExecPlan) -> String {
    world.run_in(arm, &[], plan).unwrap().expect_success()
}

pub fn ids_are_as_planned_inside_and_of_the_range_outside(world: &World) {
    let script =
        "id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map; echo ready; exec sleep 60";
    let Some(arm) = arm_plan(world) else { return };
    let running = world.try_arm(&arm, &[]).unwrap();
    let mut plan = shell(script);
    plan.groups = vec![7];
    let mut running = running.go(world, &plan, &[]).unwrap();
    let map = "0 1900000000 65536";
    for expected in [&UID.to_string(), &GID.to_string(), map, map] {
        let line = running.line();
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(&words, expected);
    }
    assert_eq!(running.line(), "ready");
    let init = running.init.pid;
    let payload = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", payload.trim())).unwrap();
    let outside = |id: u32| vec![(IDS.first + id).to_string(); 4].join("\t");
    assert_eq!(status_value(&status, "Uid"), outside(UID));
    assert_eq!(status_value(&status, "Gid"), outside(GID));
    assert_eq!(status_value(&status, "Groups"), (IDS.first + 7).to_string());
    // Init is in the daemon's: nothing in the container has rights over it.
    let user = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
    assert_eq!(user(&init.to_string()), user("self"));
    assert_ne!(user(payload.trim()), user("self"));
    // It signals the payload all the same.
    running.init.control.signal(9).unwrap();
    assert_eq!(running.finish(world).status, ExitStatus::Signal(9));
}

pub fn signal_reaches_a_payload_that_may_change_its_user(world: &World) {
    let Some(arm) = arm_plan(world) else { return };
    let armed = world.try_arm(&arm, &[]).unwrap();
    let mut plan = program(&["/bin/probe", "setuid", "4242"]);
    plan.capabilities = capabilities(&["CAP_SETUID"]);
    let mut running = armed.go(world, &plan, &[]).unwrap();
    assert_eq!(running.line(), "changed");
    running.init.control.signal(15).unwrap();
    assert_eq!(running.finish(world).status, ExitStatus::Signal(15));
}

/// Owners are those that the image, the directory of the host and the plan say.
pub fn files_have_the_ids_of_inside(world: &World) {
    let data = tempfile::tempdir().unwrap();
    chown(data.path(), Some(UID), Some(GID)).unwrap();
    let mount = clone(data.path(), CLOSED);
    let Some(mut arm) = arm_plan(world) else {
        return;
    };
    arm.mounts.push(planned("/data", ATTACH, CLOSED));
    arm.mounts.push(planned("/tmp/below/it", tmpfs(), CLOSED));
    arm.mounts
        .push(planned("/sys", MountKind::sysfs(), READ_ONLY));
    let script = "echo x >/data/new; echo x >/tmp/new; echo x >/dev/shm/new; mkdir /data/dir
        stat -c '%u:%g %n' / /bin/busybox /data /data/new /data/dir /tmp /tmp/new /tmp/below /tmp/below/it \
            /dev /dev/null /dev/tty /dev/pts /dev/ptmx /dev/shm /dev/shm/new /proc/self/status";
    let output = world.run_in(&arm, &[mount.as_fd()], &shell(script));
    let own = format!("{UID}:{GID}");
    let expected = [
        ("0:0", "/"),
        ("0:0", "/bin/busybox"),
        (own.as_str(), "/data"),
        (own.as_str(), "/data/new"),
        (own.as_str(), "/data/dir"),
        ("0:0", "/tmp"),
        (own.as_str(), "/tmp/new"),
        ("0:0", "/tmp/below"),
        ("0:0", "/tmp/below/it"),
        ("0:0", "/dev"),
        ("0:0", "/dev/null"),
        ("0:5", "/dev/tty"),
        // Made by the kernel for the daemon's user 0, who is nobody in here.
        ("65534:65534", "/dev/pts"),
        ("0:0", "/dev/ptmx"),
        ("0:0", "/dev/shm"),
        (own.as_str(), "/dev/shm/new"),
        (own.as_str(), "/proc/self/status"),
    ];
    let expected = expected.map(|(owner, path)| format!("{owner} {path}\n"));
    assert_eq!(output.unwrap().expect_success(), expected.concat());
    // Nothing of the range is ever on a disk.
    for name in ["new", "dir"] {
        let found = fs::metadata(data.path().join(name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (UID, GID), "{name}");
    }
}

pub fn mapped_mounts_say_so(world: &World) {
    let mount = clone(world.root.path(), READ_ONLY);
    let Some(mut arm) = arm_plan(world) else {
        return;
    };
    arm.mounts.push(planned("/data", ATTACH, READ_ONLY));
    let script = shell("cat /proc/self/mountinfo");
    let mountinfo = world.run_in(&arm, &[mount.as_fd()], &script).unwrap();
    let mountinfo = mountinfo.expect_success();
    let mapped = |line: &&str| line.contains(",idmapped");
    let targets = mountinfo.lines().filter(mapped);
    let targets = targets.map(|line| line.split(' ').nth(4).unwrap());
    assert_eq!(targets.collect::<Vec<_>>(), ["/data", "/"]);
}

/// Network, ipc and uts namespace belong to the user namespace; mounts and the rest of the world do not.
pub fn capabilities_reach_what_is_the_containers_own(world: &World) {
    let Some(arm) = arm_plan(world) else { return };
    let own =
        "busybox ip link set lo up && busybox hostname inside && cat /proc/sys/kernel/hostname";
    assert_eq!(run(world, &arm, &with(all(), own)), "inside\n");

    let mut host = arm;
    host.network = NetworkPlan::Host;
    let foreign = "for try in 'ip link set lo mtu 1234' 'mount -t tmpfs none /tmp' 'umount /tmp' \
            'mount -o remount,rw /' 'mknod /tmp/null c 1 3' 'renice -n -5 -p 1' \
            'cat /proc/1/environ' 'readlink /proc/1/exe' 'readlink /proc/1/root'; do
            busybox $try >/dev/null 2>&1 && echo \"$try\"
        done
        echo done";
    assert_eq!(run(world, &host, &with(all(), foreign)), "done\n");
}

pub fn capability_sets_are_exact(world: &World) {
    let Some(arm) = arm_plan(world) else { return };
    let names = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
    for wanted in [CapabilitySet::EMPTY, capabilities(&["CAP_CHOWN"]), all()] {
        let status = run(world, &arm, &with(wanted, "cat /proc/self/status"));
        let expected = wanted.to_caps().iter().map(|c| c.bitmask()).sum::<u64>();
        for name in names {
            assert_eq!(
                status_value(&status, name),
                format!("{expected:016x}"),
                "{name}"
            );
        }
    }
}

pub fn file_system_that_cannot_be_mapped_stops_the_start(world: &World) {
    let foreign = clone("/proc".as_ref(), READ_ONLY);
    let Some(mut arm) = arm_plan(world) else {
        return;
    };
    arm.mounts.push(planned("/data", ATTACH, READ_ONLY));
    let Err(error) = world.try_arm(&arm, &[foreign.as_fd()]) else {
        panic!("armed")
    };
    assert_eq!(error, StepError::new(Step::IdMap, EINVAL, "/data"));
}

pub fn ids_beyond_the_range_stop_the_start(world: &World) {
    let Some(mut arm) = arm_plan(world) else {
        return;
    };
    let beyond = IDS.count;
    let failing = |change: &dyn Fn(&mut ExecPlan)| {
        let mut plan = program(&["/bin/probe", "exit", "0"]);
        change(&mut plan);
        let error = world.run_in(&arm, &[], &plan).unwrap_err();
        assert_eq!(error.errno, EINVAL, "{error}");
        error.step
    };
    assert_eq!(failing(&|plan| plan.uid = beyond), Step::Uid);
    assert_eq!(failing(&|plan| plan.gid = beyond), Step::Gid);
    assert_eq!(failing(&|plan| plan.groups = vec![1, beyond]), Step::Groups);
    arm.user = Some(IdRange { first: 0, count: 0 });
    let Err(error) = world.try_arm(&arm, &[]) else {
        panic!("armed")
    };
    assert_eq!((error.step, error.errno), (Step::UserNamespace, EINVAL));
}

pub fn network_can_be_joined(world: &World) {
    let owner = world.arm();
    let path = format!("/proc/{}/ns/net", owner.pid);
    let expected = fs::read_link(&path).unwrap();
    let Some(mut arm) = arm_plan(world) else {
        return;
    };
    arm.network = NetworkPlan::Join(DescriptorIndex(1));
    let network = File::open(&path).unwrap();
    let script = with(
        all(),
        "readlink /proc/self/ns/net; ! busybox ip link set lo up 2>/dev/null",
    );
    let found = world.run_in(&arm, &[network.as_fd()], &script).unwrap();
    assert_eq!(found.expect_success().trim(), expected.to_str().unwrap());
    assert_eq!(owner.kill(world), ExitStatus::Signal(9));
}

/// The limits that the kernel also keeps for a user namespace as a whole: neither the soft limits of the daemon's nor
/// what other containers use may lower them.
pub fn limits_are_those_of_the_plan_alone(world: &World) {
    const COUNTED: [(RlimitKind, Resource, u64); 3] = [
        (RlimitKind::Sigpending, Resource::Sigpending, 1000),
        (RlimitKind::Msgqueue, Resource::Msgqueue, 90_000),
        (RlimitKind::Memlock, Resource::Memlock, 1 << 20),
    ];
    let Some(arm) = arm_plan(world) else { return };
    let forker = rustix::process::Pid::from_raw(world.forker().pid());
    // Init, its helper and the payload have what the forker has.
    let before = COUNTED.map(|(_, resource, _)| {
        let before = rustix::process::getrlimit(resource);
        let tiny = rustix::process::Rlimit {
            current: Some(1),
            maximum: before.maximum,
        };
        rustix::process::prlimit(forker, resource, tiny).unwrap()
    });
    let planned = |tenths: u64| {
        let mut plan = program(&["/bin/probe", "use", "1000", "81920", "1048576"]);
        let limits = COUNTED.map(|(kind, _, limit)| Rlimit {
            kind,
            soft: Some(limit * tenths / 10),
            hard: Some(limit * tenths / 10),
        });
        plan.rlimits = limits.to_vec();
        plan
    };
    // A queue takes a little more than its messages.
    let (enough, too_little) = (planned(10), planned(9));
    let started = [&enough, &enough, &too_little].map(|plan| {
        let armed = world.try_arm(&arm, &[])?;
        armed.go(world, plan, &[])
    });
    for ((_, resource, _), before) in COUNTED.iter().zip(before) {
        rustix::process::prlimit(forker, *resource, before).unwrap();
    }
    let mut seen = Vec::new();
    for running in started {
        let mut running = running.unwrap();
        let lines = [running.line(), running.line(), running.line()];
        seen.push((lines.join(", "), running));
    }
    for (_, running) in &seen {
        running.init.control.signal(9).unwrap();
    }
    let seen = seen.into_iter().map(|(lines, running)| {
        assert_eq!(running.finish(world).status, ExitStatus::Signal(9));
        lines
    });
    let granted = "signals ok, queue ok, locked ok";
    let refused = "signals EAGAIN, queue EMFILE, locked ENOMEM";
    assert_eq!(seen.collect::<Vec<_>>(), [granted, granted, refused]);
}
