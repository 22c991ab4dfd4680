//! Control groups from the first moment on: init is born in its group on version 2 and joins it on version 1.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use northstar_sandbox::cgroup::{self, Cgroup, CgroupPlan, Entrance, Hierarchy, TopGroup};
use northstar_sandbox::plan::ExecPlan;
use northstar_sandbox::{ExitStatus, ForkerEvent, InitEvent, Step};

use crate::support::*;

const EBADF: i32 = 9;
const ENOSPC: i32 = 28;

struct Confined {
    group: Cgroup,
    top: TopGroup,
    armed: Armed,
    entrance: Entrance,
}

/// An armed init in a group, as the daemon makes it.
fn confined(world: &World, name: &str, plan: &CgroupPlan) -> Confined {
    let hierarchy = Hierarchy::detect().unwrap();
    let top = format!("northstar-test-{}-{name}", std::process::id());
    let top = TopGroup::create(&hierarchy, Path::new(&top)).unwrap();
    let mut group = cgroup::make(&hierarchy, &top.path().join("container"), plan).unwrap();
    let entrance = group.entrance().unwrap();
    let directory = entrance.directory.as_ref().map(AsFd::as_fd);
    let (id, control) = world.create_in(&world.arm_plan(), &[], directory);
    group.limit(&hierarchy, plan).unwrap();
    let (pid, pidfd) = world.created(id);
    assert_eq!(event(&control).unwrap(), InitEvent::Armed);
    group.deny_devices(&plan.devices).unwrap();
    let armed = Armed {
        id,
        control,
        pid,
        pidfd,
        payload: 2,
    };
    Confined {
        group,
        top,
        armed,
        entrance,
    }
}

impl Confined {
    fn go(self, world: &World, plan: &ExecPlan) -> (Cgroup, TopGroup, Running) {
        let tasks = self.entrance.tasks.iter().map(AsFd::as_fd);
        let tasks = tasks.collect::<Vec<_>>();
        let running = self.armed.go_with(world, plan, &[], &tasks).unwrap();
        (self.group, self.top, running)
    }
}

fn membership(pid: impl std::fmt::Display) -> String {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap()
}

pub fn init_and_payload_are_in_their_group(world: &World) {
    let confined = confined(world, "inside", &CgroupPlan::default());
    let hierarchies =
        confined.entrance.tasks.len() + usize::from(confined.entrance.directory.is_some());
    let script = shell("cat /proc/self/cgroup; echo end; exec sleep 60");
    let (group, top, mut running) = confined.go(world, &script);
    let init = running.init.pid;
    let mut inside = String::new();
    loop {
        match running.line().as_str() {
            "end" => break,
            line => inside += &format!("{line}\n"),
        }
    }
    let payload = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
    let payload: i32 = payload.trim().parse().unwrap();
    assert!(group.processes().unwrap().into_iter().eq([init, payload]));
    let outside = membership(payload);
    assert_eq!(outside, membership(init));
    // In each hierarchy that it has a group in, and nothing else of it can be seen from inside.
    let path = format!(":/{}/container", top.path().display());
    let joined = outside.lines().filter(|line| line.ends_with(&path));
    let directories = joined.clone().count();
    // Controllers that are mounted together share a line.
    assert_eq!(directories, hierarchies, "{outside}");
    for line in joined {
        let controllers = line.strip_suffix(&path).unwrap();
        let seen = inside
            .lines()
            .find(|line| line.starts_with(&format!("{controllers}:")));
        assert_eq!(seen, Some(format!("{controllers}:/").as_str()), "{inside}");
    }
    group.kill().unwrap();
    world.wait_for_exit(running.init.id);
    group.destroy().unwrap();
    top.remove().unwrap();
}

/// The limit is there for the first thing that the payload does.
pub fn limits_hold_for_the_first_instruction(world: &World) {
    let plan = CgroupPlan {
        // Init and the payload.
        pids: Some(2),
        ..CgroupPlan::default()
    };
    let confined = confined(world, "first", &plan);
    let script = shell("(:) 2>/dev/null || exit 1; exit 0");
    let (group, top, running) = confined.go(world, &script);
    let finished = running.finish(world);
    assert_ne!(finished.status, ExitStatus::Code(0), "{finished:?}");
    group.destroy().unwrap();
    top.remove().unwrap();
}

pub fn group_that_cannot_be_entered_stops_the_start(world: &World) {
    let no_group = File::open("/tmp").unwrap();
    let (id, _control) = world.create_in(&world.arm_plan(), &[], Some(no_group.as_fd()));
    match world.forker_event() {
        ForkerEvent::CreateFailed { id: failed, error } => {
            assert_eq!((failed, error.step, error.errno), (id, Step::Clone, EBADF));
        }
        other => panic!("{other:?}"),
    }
    let full = File::options().write(true).open("/dev/full").unwrap();
    let tasks: &[BorrowedFd<'_>] = &[full.as_fd()];
    let plan = program(&["/bin/probe", "exit", "0"]);
    let Err(error) = world.arm().go_with(world, &plan, &[], tasks) else {
        panic!("running")
    };
    assert_eq!((error.step, error.errno), (Step::Cgroup, ENOSPC));
}
