//! What happens to a container that runs, and after it.

use super::*;

#[test]
fn images_stay_mounted_after_the_exit() {
    let mut machine = machine();
    running(&mut machine, "app:1.0.0");
    end(&mut machine, "app:1.0.0", true);
    settle(&mut machine);
    for name in ["app:1.0.0", "lib:1.1.0"] {
        let answer = umount(&mut machine, name);
        settle(&mut machine);
        now(answer).unwrap();
    }
}

#[test]
fn kill_during_a_start_reaches_the_container_afterwards() {
    let mut machine = machine();
    let started = start(&mut machine, "app:1.0.0");
    let killed = kill(&mut machine, "app:1.0.0", 15);
    settle(&mut machine);
    now(started).unwrap();
    now(killed).unwrap();
    assert_eq!(machine.workshop.signals, [15]);
}

#[test]
fn kill_needs_a_running_container_and_an_existing_signal() {
    let mut machine = machine();
    let stopped = Error::StopContainerNotStarted {
        container: container("app:1.0.0"),
    };
    denied(kill(&mut machine, "app:1.0.0", 15), stopped);
    running(&mut machine, "app:1.0.0");
    for signal in [i32::MIN, -1, 0, 65, i32::MAX] {
        denied(
            kill(&mut machine, "app:1.0.0", signal),
            Error::InvalidSignal { signal },
        );
    }
    for signal in [1, 9, 15, 64] {
        now(kill(&mut machine, "app:1.0.0", signal)).unwrap();
    }
}

#[test]
fn bad_end_of_a_critical_container_is_noticed() {
    let mut machine = machine();
    running(&mut machine, "other:1.0.0");
    end(&mut machine, "other:1.0.0", true);
    settle(&mut machine);
    assert_eq!(machine.take_critical(), None);
    running(&mut machine, "other:1.0.0");
    end(&mut machine, "other:1.0.0", false);
    settle(&mut machine);
    assert_eq!(
        machine.take_critical(),
        Some((container("other:1.0.0"), ExitStatus::Exit(1)))
    );
    running(&mut machine, "app:1.0.0");
    end(&mut machine, "app:1.0.0", false);
    settle(&mut machine);
    assert_eq!(machine.take_critical(), None);
}

#[test]
fn inspect_tells_what_is_there_now() {
    let mut machine = machine();
    let inspect = |machine: &mut Machine<Bench>, name: &str| {
        let (reply, mut answer) = Reply::channel(crate::supervisor::Job::default());
        machine.inspect(&container(name), reply);
        answer.try_recv().unwrap()
    };
    let installed = inspect(&mut machine, "app:1.0.0").unwrap();
    assert!(!installed.mounted && installed.process.is_none());
    running(&mut machine, "app:1.0.0");
    let started = inspect(&mut machine, "app:1.0.0").unwrap();
    assert!(started.mounted && started.process.is_some());
    assert!(matches!(
        inspect(&mut machine, "none:1.0.0"),
        Err(Error::InvalidContainer { .. })
    ));
}

#[test]
fn starts_are_counted_and_the_last_end_is_remembered() {
    let mut machine = machine();
    let exit = |code, reason| Exit {
        status: ExitStatus::Exit(code),
        reason,
    };
    let told = |machine: &Machine<Bench>| {
        let entry = machine.registry.get(&container("app:1.0.0")).unwrap();
        (entry.starts, entry.last_exit)
    };
    assert_eq!(told(&machine), (0, None));
    running(&mut machine, "app:1.0.0");
    assert_eq!(told(&machine), (1, None));
    end(&mut machine, "app:1.0.0", false);
    settle(&mut machine);
    let own = exit(1, ExitReason::OwnExit);
    assert_eq!(told(&machine), (1, Some(own)));
    running(&mut machine, "app:1.0.0");
    now(kill(&mut machine, "app:1.0.0", 15)).unwrap();
    end(&mut machine, "app:1.0.0", true);
    settle(&mut machine);
    let killed = exit(0, ExitReason::Requested(15));
    assert_eq!(told(&machine), (2, Some(killed)));
    // What was sent to an earlier run says nothing about the next one.
    running(&mut machine, "app:1.0.0");
    machine.close();
    end(&mut machine, "app:1.0.0", true);
    settle(&mut machine);
    let shutdown = exit(0, ExitReason::Shutdown);
    assert_eq!(told(&machine), (3, Some(shutdown)));
    let exits = machine
        .workshop
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Exited(_, exit) => Some(*exit),
            _ => None,
        });
    assert_eq!(exits.collect::<Vec<_>>(), [own, killed, shutdown]);
}

#[test]
fn statistics_are_of_all_or_of_some() {
    let mut machine = machine();
    running(&mut machine, "app:1.0.0");
    let statistics = |machine: &mut Machine<Bench>, containers: &[&str]| {
        let containers: Vec<_> = containers.iter().map(|name| container(name)).collect();
        let (reply, mut answer) = Reply::channel(Job::default());
        machine.statistics(&containers, reply);
        let usage = answer.try_recv().unwrap();
        usage
            .into_iter()
            .map(|usage| (usage.container.to_string(), usage.mounted, usage.starts))
            .collect::<Vec<_>>()
    };
    let all = statistics(&mut machine, &[]);
    assert_eq!(all.len(), 5);
    assert_eq!(all[0], ("app:1.0.0".to_owned(), true, 1));
    assert_eq!(all[1], ("app:2.0.0".to_owned(), false, 0));
    let some = statistics(&mut machine, &["lib:1.1.0", "none:1.0.0", "app:1.0.0"]);
    assert_eq!(
        some,
        [
            ("app:1.0.0".to_owned(), true, 1),
            ("lib:1.1.0".to_owned(), true, 0)
        ]
    );
}
