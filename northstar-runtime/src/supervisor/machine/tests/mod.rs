//! The machine against a workshop that does nothing until the test says so: every order of requests and outcomes can
//! be played, and what must hold in each of them is checked after each step.

mod cancelling;
mod closing;
mod histories;
mod images;
mod packages;
mod runs;
mod starts;

use super::*;
use crate::supervisor::registry::{Image, Need, Run};
use crate::supervisor::{Exit, ExitReason, Job};
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

    fn launch(&mut self, order: Order<'_, Self>) {
        self.work
            .push(Work::Launch(order.container.clone(), order.cancel));
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
            state: entry.state(),
            starts: entry.starts,
            last_exit: entry.last_exit,
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

    fn measure_all(&mut self, usage: Vec<(Usage, Option<Container>)>, reply: Reply<Vec<Usage>>) {
        answer(reply, usage.into_iter().map(|(usage, _)| usage).collect());
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
    ask(machine, Job::default(), |reply| {
        Request::Mount(container(name), reply)
    })
}

fn umount(machine: &mut Machine<Bench>, name: &str) -> Answer {
    ask(machine, Job::default(), |reply| {
        Request::Umount(container(name), reply)
    })
}

fn start(machine: &mut Machine<Bench>, name: &str) -> Answer {
    start_as(machine, name, Job::default())
}

fn start_as(machine: &mut Machine<Bench>, name: &str, job: Job) -> Answer {
    ask(machine, job, |reply| {
        Request::Start(container(name), StartOverrides::default(), reply)
    })
}

fn kill(machine: &mut Machine<Bench>, name: &str, signal: i32) -> Answer {
    ask(machine, Job::default(), |reply| {
        Request::Kill(container(name), signal, reply)
    })
}

fn uninstall(machine: &mut Machine<Bench>, name: &str, wipe: Wipe) -> Answer {
    uninstall_as(machine, name, wipe, Job::default())
}

fn uninstall_as(machine: &mut Machine<Bench>, name: &str, wipe: Wipe, job: Job) -> Answer {
    ask(machine, job, |reply| {
        Request::Uninstall(container(name), wipe, reply)
    })
}

fn commit(machine: &mut Machine<Bench>, name: &str) -> oneshot::Receiver<Result<Container, Error>> {
    commit_as(machine, name, Job::default())
}

fn commit_as(
    machine: &mut Machine<Bench>,
    name: &str,
    job: Job,
) -> oneshot::Receiver<Result<Container, Error>> {
    ask(machine, job, |reply| {
        Request::Commit(container(name), facts(name), reply)
    })
}

fn ask<T>(
    machine: &mut Machine<Bench>,
    job: Job,
    request: impl FnOnce(Reply<T>) -> Request<Bench>,
) -> oneshot::Receiver<T> {
    let (reply, answer) = Reply::channel(job);
    machine.request(request(reply));
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
            Outcome::Ended(
                name,
                Ending {
                    status: ExitStatus::Exit(i32::from(!success)),
                    out_of_memory: false,
                    silent: false,
                },
            )
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
