//! What happens when a process dies, hangs or talks nonsense.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use northstar_sandbox::forker::SpawnError;
use northstar_sandbox::plan::DescriptorIndex;
use northstar_sandbox::{
    ExitStatus, Forker, ForkerEvent, InitEvent, ReceiveError, SendError, Step,
};
use northstar_sys::process::pidfd_send_signal;
use northstar_sys::seqpacket::{self, Wait};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::support::*;

const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;

fn healthy(world: &World) {
    assert_eq!(
        world.run(&program(&["/bin/probe"])).unwrap().status,
        ExitStatus::Code(0)
    );
}

pub fn garbage_ends_one_init_only(world: &World) {
    let bystander = world.arm();
    for garbage in [&[0xff; 16][..], &[0; 1], &[7; 2048], &[0x55; 5000]] {
        let armed = world.arm();
        seqpacket::send(armed.control.as_fd(), garbage, &[], Wait::Never).unwrap();
        match event(&armed.control) {
            Ok(InitEvent::Failed(error)) => assert_eq!(error.step, Step::Park),
            other => panic!("{other:?}"),
        }
        assert_eq!(world.wait_for_exit(armed.id), ExitStatus::Code(1));
        let Err(ReceiveError::Closed) = event(&armed.control) else {
            panic!("still there")
        };
    }
    // To a running one, too.
    let running = world
        .arm()
        .go(world, &program(&["/bin/probe", "pause"]), &[])
        .unwrap();
    seqpacket::send(running.init.control.as_fd(), &[0xff; 16], &[], Wait::Never).unwrap();
    assert_eq!(world.wait_for_exit(running.init.id), ExitStatus::Code(1));

    let finished = bystander
        .go(world, &program(&["/bin/probe", "exit", "3"]), &[])
        .unwrap();
    assert_eq!(finished.finish(world).status, ExitStatus::Code(3));
}

/// Runs `work` while a process may have no descriptor more than it has.
fn without_descriptors<T>(process: Option<Pid>, work: impl FnOnce() -> T) -> T {
    let before = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        maximum: before.maximum,
    };
    let before = prlimit(process, Resource::Nofile, none).unwrap();
    let result = work();
    prlimit(process, Resource::Nofile, before).unwrap();
    result
}

fn expect_no_descriptor(event: Result<Option<ForkerEvent>, ReceiveError>, expected: u64) {
    match event {
        Ok(Some(ForkerEvent::CreateFailed { id, error })) => {
            assert_eq!(id, expected);
            assert_eq!(
                (error.step, error.errno),
                (Step::Clone, Errno::MFILE.raw_os_error())
            );
        }
        other => panic!("{other:?}"),
    }
}

pub fn init_that_the_daemon_has_no_descriptor_for_fails_alone(world: &World) {
    let bystander = world.arm();
    let (id, control) = world.create(&world.arm_plan(), &[]);
    wait_readable(world.forker().as_fd());
    let event = without_descriptors(None, || world.forker().receive());
    expect_no_descriptor(event, id);
    // It exists, and is not wanted.
    drop(control);
    assert_eq!(world.wait_for_exit(id), ExitStatus::Code(1));

    healthy(world);
    let finished = bystander
        .go(world, &program(&["/bin/probe", "exit", "3"]), &[])
        .unwrap();
    assert_eq!(finished.finish(world).status, ExitStatus::Code(3));
}

pub fn init_that_the_forker_has_no_descriptors_for_fails_alone(world: &World) {
    let bystander = world.arm();
    let forker = Pid::from_raw(world.forker().pid());
    let (id, event) = without_descriptors(forker, || {
        let (id, _control) = world.create(&world.arm_plan(), &[]);
        wait_readable(world.forker().as_fd());
        (id, world.forker().receive())
    });
    expect_no_descriptor(event, id);

    healthy(world);
    let finished = bystander
        .go(world, &program(&["/bin/probe", "exit", "3"]), &[])
        .unwrap();
    assert_eq!(finished.finish(world).status, ExitStatus::Code(3));
}

pub fn stopped_init_is_killed_by_its_pidfd(world: &World) {
    let mut running = world
        .arm()
        .go(world, &program(&["/bin/probe", "pause"]), &[])
        .unwrap();
    assert_eq!(running.line(), "ready");
    pidfd_send_signal(running.init.pidfd.as_fd(), SIGSTOP).unwrap();
    healthy(world);
    let Running { init, mut output } = running;
    assert_eq!(init.kill(world), ExitStatus::Signal(SIGKILL));
    // The pipe ends: nothing of the container is left.
    wait_readable(output.as_fd());
    assert_eq!(output.read(&mut [0; 8]).unwrap(), 0);
}

pub fn init_killed_while_parked_is_reported(world: &World) {
    let armed = world.arm();
    pidfd_send_signal(armed.pidfd.as_fd(), SIGKILL).unwrap();
    let Err(ReceiveError::Closed) = event(&armed.control) else {
        panic!("still there")
    };
    assert_eq!(world.wait_for_exit(armed.id), ExitStatus::Signal(SIGKILL));
    let error = armed
        .control
        .go(&program(&["/bin/probe"]), &[], &[])
        .unwrap_err();
    assert!(
        matches!(error, SendError::UnknownDescriptor { .. }),
        "{error:?}"
    );
    let error = armed.control.signal(1).unwrap_err();
    assert!(matches!(error, SendError::Closed), "{error:?}");
}

pub fn closed_control_ends_the_container(world: &World) {
    let Armed { id, control, .. } = world.arm();
    drop(control);
    assert_eq!(world.wait_for_exit(id), ExitStatus::Code(1));
    let mut running = world
        .arm()
        .go(world, &program(&["/bin/probe", "pause"]), &[])
        .unwrap();
    assert_eq!(running.line(), "ready");
    let id = running.init.id;
    drop(running);
    assert_eq!(world.wait_for_exit(id), ExitStatus::Code(0));
}

/// A process of its own with a forker and an armed and a running container: prints their process
/// ids and waits to be told what to do.
pub fn be_a_daemon(arguments: &[String]) -> ! {
    let world = World::new();
    let armed = world.arm();
    let script = "trap 'echo signalled' USR1; echo ready; while :; do sleep 0.01 || :; done";
    let mut running = world.arm().go(&world, &shell(script), &[]).unwrap();
    assert_eq!(running.line(), "ready");
    // Init borrows another user for this; some changes of user make the kernel forget the
    // parent-death signal.
    running.init.control.signal(10).unwrap();
    while running.line() != "signalled" {}
    println!(
        "{} {} {}",
        world.forker().pid(),
        armed.pid,
        running.init.pid
    );
    match arguments.first().map(String::as_str) {
        Some("drop") => {
            drop(world);
            println!("dropped");
        }
        _ => {
            let _end = std::io::stdin().read(&mut [0; 1]);
        }
    }
    std::process::exit(0)
}

/// Starts such a process; returns it with the ids it printed.
fn daemon(
    word: &str,
) -> (
    std::process::Child,
    Vec<i32>,
    BufReader<std::process::ChildStdout>,
) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--daemon", word])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let pids = line
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect::<Vec<_>>();
    assert_eq!(pids.len(), 3, "{line}");
    (child, pids, output)
}

/// Whether a process runs; one that ended and waits for its parent does not.
fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

pub fn dead_forker_takes_its_inits_along(_world: &World) {
    // Killed itself, then orphaned by a killed daemon.
    for victim in ["forker", "daemon"] {
        let (mut child, pids, _output) = daemon("wait");
        let killed = if victim == "forker" {
            pids[0]
        } else {
            child.id() as i32
        };
        assert!(pids.iter().all(|pid| runs(*pid)), "{pids:?}");
        let pid = rustix::process::Pid::from_raw(killed).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        eventually(
            &format!("no process after the death of the {victim}"),
            || !pids.iter().any(|pid| runs(*pid)),
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

pub fn dropped_forker_takes_its_inits_along(_world: &World) {
    let (mut child, pids, mut output) = daemon("drop");
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "dropped\n");
    // Reaped, not only dead, before the drop returned.
    assert!(
        pids.iter()
            .all(|pid| !fs::exists(format!("/proc/{pid}")).unwrap()),
        "{pids:?}"
    );
    assert!(child.wait().unwrap().success());
}

pub fn forker_survives_terminal_signals(world: &World) {
    let pid = rustix::process::Pid::from_raw(world.forker().pid()).unwrap();
    use rustix::process::Signal;
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        rustix::process::kill_process(pid, signal).unwrap();
    }
    world.forker().ping(77).unwrap();
    match world.forker_event() {
        ForkerEvent::Alive { number: 77 } => {}
        other => panic!("{other:?}"),
    }
    healthy(world);
    let status = fs::read_to_string(format!("/proc/{}/status", world.forker().pid())).unwrap();
    assert_eq!(status_value(&status, "Name"), "northstar-fork");
    assert_eq!(status_value(&status, "Threads"), "1");
    // Not dumpable: its files belong to root and only root may follow them.
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", world.forker().pid())).unwrap();
    assert_eq!(mounts.lines().count(), 1, "{mounts}");
}

pub fn forker_survives_garbage_plans(world: &World) {
    for garbage in [&[0xff; 16][..], &[7; 2048], &[0x55; 5000]] {
        seqpacket::send(world.forker().as_fd(), garbage, &[], Wait::Never).unwrap();
    }
    healthy(world);
}

pub fn process_with_threads_gets_no_forker(_world: &World) {
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || wait.recv());
    match Forker::spawn() {
        Err(SpawnError::System(error)) => assert_eq!((error.call(), error.errno()), ("clone3", 16)),
        other => panic!("{other:?}"),
    }
    drop(end);
    thread.join().unwrap().unwrap_err();
}

/// Kills or stops init at moments spread over the whole way from clone to execve.
pub fn init_that_dies_or_hangs_at_any_moment_is_reported(world: &World) {
    let bystander = world.arm();
    let plan = program(&["/bin/probe"]);
    for round in 0..100u32 {
        let signal = if round % 2 == 0 { SIGKILL } else { SIGSTOP };
        let (id, control) = world.create(&world.arm_plan(), &[]);
        let (pid, pidfd) = world.created(id);
        let armed = Armed {
            id,
            control,
            pid,
            pidfd,
            payload: 2,
        };
        let moment = std::time::Instant::now() + std::time::Duration::from_micros(20) * round;
        while std::time::Instant::now() < moment {}
        let _already_gone = pidfd_send_signal(armed.pidfd.as_fd(), signal);
        if signal == SIGSTOP {
            // It may have got as far as parking: then it hangs over the next message.
            let (output, end) = rustix::pipe::pipe().unwrap();
            armed.control.go(&plan, &[end.as_fd()], &[]).unwrap();
            drop((output, end));
            pidfd_send_signal(armed.pidfd.as_fd(), SIGKILL).unwrap();
        }
        assert_eq!(
            world.wait_for_exit(id),
            ExitStatus::Signal(SIGKILL),
            "round {round}"
        );
        loop {
            match event(&armed.control) {
                Ok(InitEvent::Armed) => {}
                Err(ReceiveError::Closed) => break,
                other => panic!("round {round}: {other:?}"),
            }
        }
    }
    let finished = bystander.go(world, &plan, &[]).unwrap().finish(world);
    assert_eq!(finished.status, ExitStatus::Code(0));
}

pub fn used_id_is_refused(world: &World) {
    let armed = world.arm();
    let root = world.root_mount();
    let plan = world.arm_plan();
    let control = world
        .forker()
        .create(armed.id, &plan, &[root.as_fd()], None)
        .unwrap();
    match world.forker_event() {
        ForkerEvent::CreateFailed { id, error } => {
            assert_eq!((id, error.step, error.errno), (armed.id, Step::Clone, 17));
        }
        other => panic!("{other:?}"),
    }
    let Err(ReceiveError::Closed) = event(&control) else {
        panic!("still there")
    };
    let mut plan = plan;
    plan.root = DescriptorIndex(1);
    let error = world
        .forker()
        .create(999_999, &plan, &[root.as_fd()], None)
        .unwrap_err();
    assert!(
        matches!(error, SendError::UnknownDescriptor { count: 1, .. }),
        "{error:?}"
    );
    assert_eq!(armed.kill(world), ExitStatus::Signal(SIGKILL));
}

/// Open descriptors, mounts and processes.
fn residue(world: &World) -> [usize; 4] {
    let forker = world.forker().pid();
    let count = |path: String| fs::read_dir(path).unwrap().count();
    let children = |pid: u32| {
        let path = format!("/proc/{pid}/task/{pid}/children");
        fs::read_to_string(path).unwrap().split_whitespace().count()
    };
    [
        count("/proc/self/fd".to_owned()),
        count(format!("/proc/{forker}/fd")),
        fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .lines()
            .count(),
        children(std::process::id()) + children(forker as u32),
    ]
}

pub fn hundred_starts_leave_nothing(world: &World) {
    healthy(world);
    let before = residue(world);
    for round in 0..100 {
        match round % 4 {
            0 => healthy(world),
            1 => {
                let error = world.run(&program(&["/bin/nothing"])).unwrap_err();
                assert_eq!(error.step, Step::Execve);
            }
            2 => {
                let _status = world.arm().kill(world);
            }
            _ => {
                let mut arm = world.arm_plan();
                arm.mounts.push(planned("/missing", tmpfs(), CLOSED));
                let Err(error) = world.try_arm(&arm, &[]) else {
                    panic!("armed")
                };
                assert_eq!(error.step, Step::Mount);
            }
        }
    }
    assert_eq!(residue(world), before);
}
