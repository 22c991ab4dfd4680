//! Every order of everything.

use super::*;
use crate::supervisor::Watcher;
use proptest::prelude::*;

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
    /// Cancels one of the requests so far.
    Cancel(usize),
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
        3 => any::<usize>().prop_map(Step::Cancel),
        1 => Just(Step::Close),
    ]
}

fn watched(watchers: &mut Vec<Watcher>) -> Job {
    let (job, watcher) = Job::watched();
    watchers.push(watcher);
    job
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
        let mut watchers = Vec::new();
        for step in steps {
            match step {
                Step::Mount(i) => answers.push(mount(&mut machine, NAMES[i])),
                Step::Umount(i) => answers.push(umount(&mut machine, NAMES[i])),
                Step::Start(i) => {
                    let job = watched(&mut watchers);
                    answers.push(start_as(&mut machine, NAMES[i], job));
                }
                Step::Kill(i) => answers.push(kill(&mut machine, NAMES[i], 15)),
                Step::Uninstall(i, wipe) => {
                    let wipe = if wipe { Wipe::Remove } else { Wipe::Keep };
                    let job = watched(&mut watchers);
                    answers.push(uninstall_as(&mut machine, NAMES[i], wipe, job));
                }
                Step::Commit(i) => {
                    let job = watched(&mut watchers);
                    commits.push(commit_as(&mut machine, NAMES[i], job));
                }
                Step::Cancel(i) => {
                    if let Some(index) = i.checked_rem(watchers.len()) {
                        watchers[index].cancel.cancel();
                        machine.look_for_cancelled();
                    }
                }
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
