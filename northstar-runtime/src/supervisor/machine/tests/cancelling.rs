//! Requests that are not wanted any more.

use super::*;
use crate::supervisor::State;

fn state(machine: &Machine<Bench>, name: &str) -> Option<State> {
    machine.registry.get(&container(name)).map(Entry::state)
}

#[test]
fn a_start_that_waits_for_images_is_given_up_at_once() {
    let mut machine = machine();
    let (job, watcher) = Job::watched();
    let answer = start_as(&mut machine, "app:1.0.0", job);
    assert_eq!(state(&machine, "app:1.0.0"), Some(State::Starting));
    watcher.cancel.cancel();
    machine.look_for_cancelled();
    denied(answer, Error::Cancelled);
    // The mounts go on and stay, as after any failed start.
    settle(&mut machine);
    assert_eq!(state(&machine, "app:1.0.0"), Some(State::Mounted));
    assert_eq!(state(&machine, "lib:1.1.0"), Some(State::Mounted));
    running(&mut machine, "app:1.0.0");
}

#[test]
fn a_launch_is_undone() {
    let mut machine = machine();
    let (job, watcher) = Job::watched();
    let mut answer = start_as(&mut machine, "app:1.0.0", job);
    complete(&mut machine, 0, true);
    complete(&mut machine, 0, true);
    assert!(matches!(&machine.workshop.work[..], [Work::Launch(..)]));
    watcher.cancel.cancel();
    machine.look_for_cancelled();
    assert!(answer.try_recv().is_err(), "the launch has not ended yet");
    complete(&mut machine, 0, true);
    assert!(matches!(answer.try_recv(), Ok(Err(Error::Cancelled))));
    assert_eq!(state(&machine, "app:1.0.0"), Some(State::Mounted));
}

#[test]
fn a_cancellation_that_comes_too_late_changes_nothing() {
    let mut machine = machine();
    let (job, watcher) = Job::watched();
    let answer = start_as(&mut machine, "app:1.0.0", job);
    settle(&mut machine);
    watcher.cancel.cancel();
    machine.look_for_cancelled();
    now(answer).unwrap();
    assert_eq!(state(&machine, "app:1.0.0"), Some(State::Running));
}

#[test]
fn a_request_that_waits_its_turn_gives_it_up() {
    let mut machine = machine();
    let first = start(&mut machine, "app:1.0.0");
    let (job, watcher) = Job::watched();
    let second = start_as(&mut machine, "app:2.0.0", job);
    let third = kill(&mut machine, "app:1.0.0", 15);
    watcher.cancel.cancel();
    machine.look_for_cancelled();
    denied(second, Error::Cancelled);
    settle(&mut machine);
    now(first).unwrap();
    now(third).unwrap();
    assert_eq!(state(&machine, "app:2.0.0"), Some(State::Installed));
}

#[test]
fn who_waited_for_a_cancelled_start_has_its_turn() {
    let mut machine = machine();
    let (job, watcher) = Job::watched();
    let first = start_as(&mut machine, "app:1.0.0", job);
    let second = start(&mut machine, "app:2.0.0");
    watcher.cancel.cancel();
    machine.look_for_cancelled();
    denied(first, Error::Cancelled);
    settle(&mut machine);
    now(second).unwrap();
    assert_eq!(state(&machine, "app:2.0.0"), Some(State::Running));
}

#[test]
fn an_uninstall_stops_before_the_removal_and_not_within_it() {
    let mut machine = machine();
    now_mounted(&mut machine);
    let (job, watcher) = Job::watched();
    let answer = uninstall_as(&mut machine, "app:1.0.0", Wipe::Remove, job);
    watcher.cancel.cancel();
    machine.look_for_cancelled();
    settle(&mut machine);
    denied(answer, Error::Cancelled);
    assert_eq!(state(&machine, "app:1.0.0"), Some(State::Installed));

    let (job, watcher) = Job::watched();
    let answer = uninstall_as(&mut machine, "app:1.0.0", Wipe::Keep, job);
    assert_eq!(state(&machine, "app:1.0.0"), Some(State::Removing));
    watcher.cancel.cancel();
    machine.look_for_cancelled();
    settle(&mut machine);
    now(answer).unwrap();
    assert_eq!(state(&machine, "app:1.0.0"), None);
}

fn now_mounted(machine: &mut Machine<Bench>) {
    let answer = mount(machine, "app:1.0.0");
    settle(machine);
    now(answer).unwrap();
}

#[test]
fn a_package_whose_install_was_cancelled_never_becomes_visible() {
    let mut machine = machine();
    let (job, watcher) = Job::watched();
    watcher.cancel.cancel();
    let mut answer = commit_as(&mut machine, "new:1.0.0", job);
    assert!(matches!(answer.try_recv(), Ok(Err(Error::Cancelled))));
    assert!(machine.workshop.work.is_empty());
    assert_eq!(state(&machine, "new:1.0.0"), None);
}

#[test]
fn the_end_of_the_daemon_is_no_cancellation() {
    let mut machine = machine();
    let (job, _watcher) = Job::watched();
    let mut answer = start_as(&mut machine, "app:1.0.0", job);
    complete(&mut machine, 0, true);
    complete(&mut machine, 0, true);
    machine.close();
    settle(&mut machine);
    assert!(matches!(answer.try_recv(), Ok(Err(Error::ShuttingDown))));
}
