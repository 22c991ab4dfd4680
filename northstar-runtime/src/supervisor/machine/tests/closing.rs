//! The end of the daemon.

use super::*;

#[test]
fn close_refuses_new_and_waiting_requests_and_takes_everything_down() {
    let mut machine = machine();
    running(&mut machine, "app:1.0.0");
    let starting = start(&mut machine, "other:1.0.0");
    let waiting = start(&mut machine, "other:1.0.0");
    machine.close();
    assert!(matches!(now(waiting), Err(Error::ShuttingDown)));
    assert!(matches!(
        now(mount(&mut machine, "app:2.0.0")),
        Err(Error::ShuttingDown)
    ));
    assert!(matches!(now(starting), Err(Error::ShuttingDown)));
    assert_eq!(machine.workshop.signals, [15]);
    settle(&mut machine);
    assert!(!machine.is_closed());
    end(&mut machine, "app:1.0.0", false);
    settle(&mut machine);
    assert!(machine.is_closed());
}

#[test]
fn close_cancels_a_launch() {
    let mut machine = machine();
    let starting = start(&mut machine, "app:1.0.0");
    complete(&mut machine, 0, true);
    complete(&mut machine, 0, true);
    assert!(matches!(&machine.workshop.work[..], [Work::Launch(..)]));
    machine.close();
    settle(&mut machine);
    assert!(matches!(now(starting), Err(Error::ShuttingDown)));
    assert!(machine.is_closed());
}

#[test]
fn container_that_comes_up_during_the_close_is_stopped() {
    let mut machine = machine();
    let starting = start(&mut machine, "app:1.0.0");
    complete(&mut machine, 0, true);
    complete(&mut machine, 0, true);
    machine.close();
    let name = container("app:1.0.0");
    machine.workshop.work.clear();
    machine.workshop.work.push(Work::Run(name.clone()));
    let launched = Launched {
        process: name.clone(),
        skipped: Vec::new(),
    };
    machine.outcome(Outcome::Launched(name, Ok(launched)));
    now(starting).unwrap();
    assert_eq!(machine.workshop.signals, [15]);
    assert_eq!(machine.kill_all(), 1);
    end(&mut machine, "app:1.0.0", false);
    settle(&mut machine);
    assert!(machine.is_closed());
}

#[test]
fn close_does_not_insist_on_a_busy_mount() {
    let mut machine = machine();
    let _mounted = mount(&mut machine, "app:1.0.0");
    settle(&mut machine);
    machine.close();
    complete(&mut machine, 0, false);
    assert!(machine.is_closed());
}
