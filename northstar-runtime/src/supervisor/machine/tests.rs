//! The machine against a workshop that does nothing until the test says so: every order of requests and outcomes can
//! be played, and what must hold in each of them is checked after each step.

use super::*;
use crate::supervisor::registry::{Image, Need, Run};
use proptest::prelude::*;
use tokio::sync::oneshot;

/// Work that was ordered and not yet reported back.
#[derive(Debug)]
enum Work {
    Mount(Container),
    Unmount(Container),
    Launch(Container, CancellationToken),
    /// The container runs until its end comes.
    Run(Container),
    CleanUp(Container),
    Remove(Container),
    Commit(Container),
}

/// A workshop that only writes down its orders.
#[derive(Debug, Default)]
struct Bench {
    work: Vec<Work>,
    signals: Vec<i32>,
    events: Vec<Event>,
}

impl Parts for Bench {
    type Package = ();
    type Image = ();
    type Process = Container;
    type Staged = Facts;
    type Committed = Facts;
}

impl Workshop for Bench {
    fn mount(&mut self, container: &Container, (): &()) {
        self.work.push(Work::Mount(container.clone()));
    }

    fn unmount(&mut self, container: &Container, (): ()) {
        self.work.push(Work::Unmount(container.clone()));
    }

    fn launch(&mut self, job: Job<'_, Self>) {
        self.work
            .push(Work::Launch(job.container.clone(), job.cancel));
    }

    fn signal(&mut self, _: &Container, signal: i32) -> io::Result<()> {
        self.signals.push(signal);
        Ok(())
    }

    fn remove(&mut self, container: &Container, (): &(), _: Wipe) {
        self.work.push(Work::Remove(container.clone()));
    }

    fn forget(&mut self, _: &Container, (): &()) {}

    fn adopt(&mut self, facts: Facts) -> ((), Facts) {
        ((), facts)
    }

    fn commit(&mut self, container: &Container, _: Facts) {
        self.work.push(Work::Commit(container.clone()));
    }

    fn describe(&self, entry: &Entry<Self>) -> Inspection {
        let (name, version) = ("app".parse().unwrap(), "1.0.0".parse().unwrap());
        Inspection {
            manifest: Arc::new(northstar_manifest::Manifest::new(name, version, 1, 1)),
            repository: entry.facts.repository.clone(),
            mounted: matches!(entry.image, Image::Mounted(())),
            integrity: crate::supervisor::Protection::None,
            skipped: entry.skipped.clone(),
            process: None,
        }
    }

    fn measure(
        &mut self,
        _: &Container,
        mut inspection: Inspection,
        reply: Reply<Result<Inspection, Error>>,
    ) {
        inspection.process = Some(crate::supervisor::Process {
            pid: 1,
            uptime: std::time::Duration::ZERO,
            statistics: crate::supervisor::Statistics::default(),
        });
        answer(reply, Ok(inspection));
    }

    fn publish(&mut self, event: Event) {
        self.events.push(event);
    }
}

fn container(text: &str) -> Container {
    text.parse().unwrap()
}

/// `app` in two versions uses the resource `lib`, of which there are two versions; `other` uses it too.
fn machine() -> Machine<Bench> {
    let mut machine = Machine::new(Bench::default());
    for name in [
        "app:1.0.0",
        "app:2.0.0",
        "other:1.0.0",
        "lib:1.0.0",
        "lib:1.1.0",
    ] {
        machine
            .registry
            .insert(container(name), Entry::new((), facts(name)));
    }
    machine
}

fn facts(name: &str) -> Facts {
    let need = Need {
        target: "/lib".into(),
        name: "lib".parse().unwrap(),
        version: northstar_manifest::VersionReq::parse("1").unwrap(),
    };
    let resource = name.starts_with("lib");
    Facts {
        repository: "default".parse().unwrap(),
        resource,
        start_command: true,
        critical: name.starts_with("other"),
        needs: if resource { Vec::new() } else { vec![need] },
    }
}

type Answer = oneshot::Receiver<Result<(), Error>>;

fn mount(machine: &mut Machine<Bench>, name: &str) -> Answer {
    let (reply, answer) = oneshot::channel();
    machine.request(Request::Mount(container(name), reply));
    answer
}

fn umount(machine: &mut Machine<Bench>, name: &str) -> Answer {
    let (reply, answer) = oneshot::channel();
    machine.request(Request::Umount(container(name), reply));
    answer
}

fn start(machine: &mut Machine<Bench>, name: &str) -> Answer {
    let (reply, answer) = oneshot::channel();
    machine.request(Request::Start(
        container(name),
        StartOverrides::default(),
        reply,
    ));
    answer
}

fn kill(machine: &mut Machine<Bench>, name: &str, signal: i32) -> Answer {
    let (reply, answer) = oneshot::channel();
    machine.request(Request::Kill(container(name), signal, reply));
    answer
}

fn uninstall(machine: &mut Machine<Bench>, name: &str, wipe: Wipe) -> Answer {
    let (reply, answer) = oneshot::channel();
    machine.request(Request::Uninstall(container(name), wipe, reply));
    answer
}

fn commit(machine: &mut Machine<Bench>, name: &str) -> oneshot::Receiver<Result<Container, Error>> {
    let (reply, answer) = oneshot::channel();
    machine.request(Request::Commit(container(name), facts(name), reply));
    answer
}

/// Reports one piece of work back.
fn complete(machine: &mut Machine<Bench>, index: usize, success: bool) {
    let work = machine.workshop.work.remove(index);
    let outcome = match work {
        Work::Mount(name) => {
            let error = || {
                Arc::new(MountError::Interrupted {
                    container: name.clone(),
                })
            };
            let result = if success { Ok(()) } else { Err(error()) };
            Outcome::Mounted(name, result)
        }
        Work::Unmount(name) => Outcome::Unmounted(
            name,
            if success {
                Ok(())
            } else {
                Err(UnmountFailure::Busy(()))
            },
        ),
        Work::Launch(name, cancel) if cancel.is_cancelled() => {
            Outcome::Launched(name, Err(Arc::new(launch::Error::Cancelled)))
        }
        Work::Launch(name, _) if success => {
            machine.workshop.work.push(Work::Run(name.clone()));
            Outcome::Launched(
                name.clone(),
                Ok(Launched {
                    process: name,
                    skipped: Vec::new(),
                }),
            )
        }
        Work::Launch(name, _) => Outcome::Launched(name, Err(Arc::new(launch::Error::Interrupted))),
        Work::Run(name) => {
            machine.workshop.work.push(Work::CleanUp(name.clone()));
            Outcome::Ended(name, ExitStatus::Exit(i32::from(!success)))
        }
        Work::CleanUp(name) => Outcome::CleanedUp(name),
        Work::Remove(name) if success => Outcome::Removed(name, Ok(Removal::Complete)),
        Work::Remove(name) => {
            let error = Arc::new(io::Error::from_raw_os_error(nix::libc::EIO));
            Outcome::Removed(name, Ok(Removal::DataLeft(error)))
        }
        Work::Commit(name) => {
            let facts = facts(&name.to_string());
            let result = if success {
                Ok(facts)
            } else {
                Err(Error::InstallAbandoned {
                    repository: facts.repository,
                })
            };
            Outcome::Committed(name, result)
        }
    };
    machine.outcome(outcome);
}

/// Reports everything back that ends by itself, successfully, until only running containers are left.
fn settle(machine: &mut Machine<Bench>) {
    let by_itself = |work: &Work| !matches!(work, Work::Run(_));
    while let Some(index) = machine.workshop.work.iter().position(by_itself) {
        complete(machine, index, true);
    }
}

/// Ends a running container with exit code 0 or 1.
fn end(machine: &mut Machine<Bench>, name: &str, success: bool) {
    let is_run = |work: &Work| matches!(work, Work::Run(running) if *running == container(name));
    let index = machine.workshop.work.iter().position(is_run).unwrap();
    complete(machine, index, success);
}

fn now(mut answer: Answer) -> Result<(), Error> {
    answer.try_recv().expect("no answer yet")
}

fn running(machine: &mut Machine<Bench>, name: &str) {
    let answer = start(machine, name);
    settle(machine);
    now(answer).unwrap();
}

#[track_caller]
fn denied(answer: Answer, expected: Error) {
    let found = now(answer).unwrap_err();
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
}

#[test]
fn unknown_container_is_invalid_in_every_request() {
    let mut machine = machine();
    let invalid = || Error::InvalidContainer {
        container: container("none:1.0.0"),
    };
    denied(mount(&mut machine, "none:1.0.0"), invalid());
    denied(umount(&mut machine, "none:1.0.0"), invalid());
    denied(start(&mut machine, "none:1.0.0"), invalid());
    denied(kill(&mut machine, "none:1.0.0", 15), invalid());
    denied(uninstall(&mut machine, "none:1.0.0", Wipe::Keep), invalid());
}

#[test]
fn mount_of_a_mounted_container_is_busy() {
    let mut machine = machine();
    let first = mount(&mut machine, "app:1.0.0");
    settle(&mut machine);
    now(first).unwrap();
    let busy = Error::MountBusy {
        container: container("app:1.0.0"),
    };
    denied(mount(&mut machine, "app:1.0.0"), busy);
}

#[test]
fn second_mount_waits_for_the_first_and_is_then_busy() {
    let mut machine = machine();
    let first = mount(&mut machine, "app:1.0.0");
    let mut second = mount(&mut machine, "app:1.0.0");
    assert!(second.try_recv().is_err());
    complete(&mut machine, 0, true);
    now(first).unwrap();
    denied(
        second,
        Error::MountBusy {
            container: container("app:1.0.0"),
        },
    );
}

#[test]
fn second_mount_tries_again_when_the_first_fails() {
    let mut machine = machine();
    let first = mount(&mut machine, "app:1.0.0");
    let second = mount(&mut machine, "app:1.0.0");
    complete(&mut machine, 0, false);
    assert!(matches!(now(first), Err(Error::Mount { .. })));
    complete(&mut machine, 0, true);
    now(second).unwrap();
}

#[test]
fn umount_needs_a_mounted_container() {
    let mut machine = machine();
    let busy = Error::UmountBusy {
        container: container("app:1.0.0"),
    };
    denied(umount(&mut machine, "app:1.0.0"), busy);
}

#[test]
fn umount_of_a_running_container_names_it() {
    let mut machine = machine();
    running(&mut machine, "app:1.0.0");
    let busy = Error::UmountBusy {
        container: container("app:1.0.0"),
    };
    denied(umount(&mut machine, "app:1.0.0"), busy);
}

#[test]
fn umount_of_a_resource_in_use_names_the_user() {
    let mut machine = machine();
    running(&mut machine, "app:1.0.0");
    let busy = || Error::UmountBusy {
        container: container("app:1.0.0"),
    };
    denied(umount(&mut machine, "lib:1.1.0"), busy());
    denied(uninstall(&mut machine, "lib:1.1.0", Wipe::Keep), busy());
}

#[test]
fn umount_that_finds_a_foreign_user_leaves_the_container_mounted() {
    let mut machine = machine();
    let _mounted = mount(&mut machine, "app:1.0.0");
    settle(&mut machine);
    let answer = umount(&mut machine, "app:1.0.0");
    complete(&mut machine, 0, false);
    denied(
        answer,
        Error::UmountBusy {
            container: container("app:1.0.0"),
        },
    );
    denied(
        mount(&mut machine, "app:1.0.0"),
        Error::MountBusy {
            container: container("app:1.0.0"),
        },
    );
}

#[test]
fn start_mounts_container_and_newest_resource_only() {
    let mut machine = machine();
    let answer = start(&mut machine, "app:1.0.0");
    let mounts: Vec<_> = machine
        .workshop
        .work
        .iter()
        .map(|work| format!("{work:?}"))
        .collect();
    assert_eq!(mounts.len(), 2);
    settle(&mut machine);
    now(answer).unwrap();
    let is_mounted = |name: &str| {
        matches!(
            machine.registry.get(&container(name)).unwrap().image,
            Image::Mounted(())
        )
    };
    assert!(is_mounted("app:1.0.0") && is_mounted("lib:1.1.0"));
    assert!(!is_mounted("lib:1.0.0") && !is_mounted("app:2.0.0"));
    assert_eq!(
        machine.workshop.events,
        [Event::Started(container("app:1.0.0"))]
    );
}

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
fn start_of_any_version_of_a_running_name_names_the_running_one() {
    let mut machine = machine();
    running(&mut machine, "app:1.0.0");
    for name in ["app:1.0.0", "app:2.0.0"] {
        let started = Error::StartContainerStarted {
            container: container("app:1.0.0"),
        };
        denied(start(&mut machine, name), started);
    }
}

#[test]
fn second_start_waits_for_the_first() {
    let mut machine = machine();
    let first = start(&mut machine, "app:1.0.0");
    let second = start(&mut machine, "app:2.0.0");
    settle(&mut machine);
    now(first).unwrap();
    denied(
        second,
        Error::StartContainerStarted {
            container: container("app:1.0.0"),
        },
    );
}

#[test]
fn second_start_gets_its_turn_when_the_first_fails() {
    let mut machine = machine();
    let first = start(&mut machine, "app:1.0.0");
    let second = start(&mut machine, "app:2.0.0");
    complete(&mut machine, 0, true);
    complete(&mut machine, 0, true);
    complete(&mut machine, 0, false);
    assert!(matches!(
        now(first),
        Err(Error::StartContainerFailed { container: failed, .. }) if failed == container("app:1.0.0")
    ));
    settle(&mut machine);
    now(second).unwrap();
}

#[test]
fn start_of_a_resource_is_refused() {
    let mut machine = machine();
    let resource = Error::StartContainerResource {
        container: container("lib:1.0.0"),
    };
    denied(start(&mut machine, "lib:1.0.0"), resource);
}

#[test]
fn start_without_its_resource_names_it() {
    let mut machine = machine();
    for name in ["lib:1.0.0", "lib:1.1.0"] {
        let removed = uninstall(&mut machine, name, Wipe::Keep);
        settle(&mut machine);
        now(removed).unwrap();
    }
    let missing = Error::StartContainerMissingResource {
        container: container("app:1.0.0"),
        resource: "lib".parse().unwrap(),
        version: northstar_manifest::VersionReq::parse("1").unwrap(),
    };
    denied(start(&mut machine, "app:1.0.0"), missing);
}

#[test]
fn start_fails_when_its_resource_cannot_be_mounted() {
    let mut machine = machine();
    let answer = start(&mut machine, "app:1.0.0");
    let is_resource =
        |work: &Work| matches!(work, Work::Mount(name) if name.name().as_ref() as &str == "lib");
    let index = machine.workshop.work.iter().position(is_resource).unwrap();
    complete(&mut machine, index, false);
    match now(answer) {
        Err(Error::StartContainerFailed { source, .. }) => match &*source {
            launch::Error::Mount { image, .. } => assert_eq!(*image, container("lib:1.1.0")),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
    settle(&mut machine);
    assert!(
        machine
            .registry
            .get(&container("app:1.0.0"))
            .unwrap()
            .run
            .is_idle()
    );
}

#[test]
fn umount_during_a_start_waits_and_finds_it_running() {
    let mut machine = machine();
    let started = start(&mut machine, "app:1.0.0");
    let container_umount = umount(&mut machine, "app:1.0.0");
    let resource_umount = umount(&mut machine, "lib:1.1.0");
    settle(&mut machine);
    now(started).unwrap();
    let busy = || Error::UmountBusy {
        container: container("app:1.0.0"),
    };
    denied(container_umount, busy());
    denied(resource_umount, busy());
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
fn uninstall_unmounts_first() {
    let mut machine = machine();
    let _mounted = mount(&mut machine, "app:1.0.0");
    settle(&mut machine);
    let answer = uninstall(&mut machine, "app:1.0.0", Wipe::Keep);
    assert!(matches!(&machine.workshop.work[..], [Work::Unmount(_)]));
    complete(&mut machine, 0, true);
    assert!(matches!(&machine.workshop.work[..], [Work::Remove(_)]));
    complete(&mut machine, 0, true);
    now(answer).unwrap();
    assert_eq!(
        machine.workshop.events,
        [Event::Uninstalled(container("app:1.0.0"))]
    );
    assert!(machine.registry.get(&container("app:1.0.0")).is_none());
}

#[test]
fn uninstall_during_a_mount_waits_for_it() {
    let mut machine = machine();
    let mounted = mount(&mut machine, "app:1.0.0");
    let removed = uninstall(&mut machine, "app:1.0.0", Wipe::Keep);
    settle(&mut machine);
    now(mounted).unwrap();
    now(removed).unwrap();
}

#[test]
fn wipe_needs_all_versions_of_the_name_to_rest() {
    let mut machine = machine();
    running(&mut machine, "app:1.0.0");
    let busy = Error::UmountBusy {
        container: container("app:1.0.0"),
    };
    denied(uninstall(&mut machine, "app:2.0.0", Wipe::Remove), busy);
    let kept = uninstall(&mut machine, "app:2.0.0", Wipe::Keep);
    settle(&mut machine);
    now(kept).unwrap();
}

#[test]
fn wipe_that_fails_still_uninstalls() {
    let mut machine = machine();
    let answer = uninstall(&mut machine, "app:1.0.0", Wipe::Remove);
    complete(&mut machine, 0, false);
    assert!(matches!(now(answer), Err(Error::Wipe { .. })));
    assert!(machine.registry.get(&container("app:1.0.0")).is_none());
}

#[test]
fn install_of_an_installed_container_is_a_duplicate() {
    let mut machine = machine();
    let mut answer = commit(&mut machine, "app:1.0.0");
    assert!(matches!(
        answer.try_recv().unwrap(),
        Err(Error::InstallDuplicate { container: found }) if found == container("app:1.0.0")
    ));
}

#[test]
fn two_installs_of_one_container_leave_one_winner() {
    let mut machine = machine();
    let mut first = commit(&mut machine, "new:1.0.0");
    let mut second = commit(&mut machine, "new:1.0.0");
    settle(&mut machine);
    assert_eq!(first.try_recv().unwrap().unwrap(), container("new:1.0.0"));
    assert!(matches!(
        second.try_recv().unwrap(),
        Err(Error::InstallDuplicate { .. })
    ));
    assert_eq!(
        machine.workshop.events,
        [Event::Installed(container("new:1.0.0"))]
    );
}

#[test]
fn install_during_uninstall_follows_it() {
    let mut machine = machine();
    let removed = uninstall(&mut machine, "app:1.0.0", Wipe::Keep);
    let mut installed = commit(&mut machine, "app:1.0.0");
    settle(&mut machine);
    now(removed).unwrap();
    installed.try_recv().unwrap().unwrap();
    assert!(machine.registry.get(&container("app:1.0.0")).is_some());
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
        let (reply, mut answer) = oneshot::channel();
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

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Mount(usize),
    Umount(usize),
    Start(usize),
    Kill(usize),
    Uninstall(usize, bool),
    Commit(usize),
    /// Reports back one of the pieces of work under way.
    Complete(usize, bool),
    Close,
}

const NAMES: [&str; 6] = [
    "app:1.0.0",
    "app:2.0.0",
    "other:1.0.0",
    "lib:1.0.0",
    "lib:1.1.0",
    "new:1.0.0",
];

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    prop_oneof![
        3 => name.clone().prop_map(Step::Mount),
        3 => name.clone().prop_map(Step::Umount),
        5 => name.clone().prop_map(Step::Start),
        2 => name.clone().prop_map(Step::Kill),
        2 => (name.clone(), any::<bool>()).prop_map(|(name, wipe)| Step::Uninstall(name, wipe)),
        2 => name.prop_map(Step::Commit),
        20 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(i, ok)| Step::Complete(i, ok)),
        1 => Just(Step::Close),
    ]
}

/// What holds at any moment.
fn check(machine: &Machine<Bench>) {
    let mut active = std::collections::BTreeMap::new();
    for (name, entry) in machine.registry.iter() {
        if !entry.run.is_idle() {
            assert_eq!(
                active.insert(name.name().clone(), name.clone()),
                None,
                "two versions"
            );
        }
        let needs_images = matches!(
            entry.run,
            Run::Launching { .. } | Run::Running { .. } | Run::Exiting { .. }
        );
        if needs_images {
            for image in entry.run.resources().iter().chain([name]) {
                let image = &machine
                    .registry
                    .get(image)
                    .expect("removed under its user")
                    .image;
                assert!(
                    matches!(image, Image::Mounted(())),
                    "{name} runs on {image:?}"
                );
            }
        }
        if let Run::Gathering(start) = &entry.run {
            for image in start.resources.iter().chain([name]) {
                let image = &machine
                    .registry
                    .get(image)
                    .expect("removed under its user")
                    .image;
                assert!(
                    matches!(image, Image::Mounted(()) | Image::Mounting { .. }),
                    "{name} waits for {image:?}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever meets whatever: the invariants hold, every request gets exactly one answer, and no work is left.
    #[test]
    fn every_history_is_orderly(steps in prop::collection::vec(step(), 1..80)) {
        let mut machine = machine();
        let mut answers: Vec<Answer> = Vec::new();
        let mut commits = Vec::new();
        for step in steps {
            match step {
                Step::Mount(i) => answers.push(mount(&mut machine, NAMES[i])),
                Step::Umount(i) => answers.push(umount(&mut machine, NAMES[i])),
                Step::Start(i) => answers.push(start(&mut machine, NAMES[i])),
                Step::Kill(i) => answers.push(kill(&mut machine, NAMES[i], 15)),
                Step::Uninstall(i, wipe) => {
                    let wipe = if wipe { Wipe::Remove } else { Wipe::Keep };
                    answers.push(uninstall(&mut machine, NAMES[i], wipe));
                }
                Step::Commit(i) => commits.push(commit(&mut machine, NAMES[i])),
                Step::Complete(i, success) => {
                    if let Some(index) = i.checked_rem(machine.workshop.work.len()) {
                        complete(&mut machine, index, success);
                    }
                }
                Step::Close => machine.close(),
            }
            check(&machine);
        }
        settle(&mut machine);
        check(&machine);
        prop_assert!(machine.waiting.is_empty());
        for mut answer in answers {
            prop_assert!(answer.try_recv().is_ok());
        }
        for mut answer in commits {
            prop_assert!(answer.try_recv().is_ok());
        }
        // And it always comes to an end.
        machine.close();
        while !machine.workshop.work.is_empty() {
            complete(&mut machine, 0, true);
        }
        prop_assert!(machine.is_closed());
    }
}
