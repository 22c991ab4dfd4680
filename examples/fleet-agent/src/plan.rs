//! What to do next: decided from the state that is asked for and the one that is there, without doing anything.

use std::collections::BTreeMap;

use northstar_client::api::Container;

use crate::desired::{Desired, State, Wanted};

/// The containers that are installed, and whether they run.
pub type Actual = BTreeMap<Container, bool>;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Install(Wanted),
    Start(Container),
    Stop(Container),
    Uninstall(Container),
}

impl Step {
    /// The container that it is for: what fails is held against this one.
    pub fn container(&self) -> &Container {
        match self {
            Step::Install(wanted) => &wanted.container,
            Step::Start(container) | Step::Stop(container) | Step::Uninstall(container) => {
                container
            }
        }
    }
}

/// The next step for each container that is not as it should be.
pub fn next(desired: &Desired, actual: &Actual) -> Vec<Step> {
    desired
        .containers
        .iter()
        .filter_map(|wanted| step(wanted, actual))
        .collect()
}

/// The containers that have to end.
pub fn stops(steps: &[Step]) -> Vec<Container> {
    let stops = steps.iter().filter_map(|step| match step {
        Step::Stop(container) => Some(container.clone()),
        _ => None,
    });
    stops.collect()
}

fn step(wanted: &Wanted, actual: &Actual) -> Option<Step> {
    let Wanted {
        container, state, ..
    } = wanted;
    let own = || container.clone();
    match (state, actual.get(container)) {
        (State::Absent, None) | (State::Stopped, Some(false)) | (State::Running, Some(true)) => {
            None
        }
        (State::Absent | State::Stopped, Some(true)) => Some(Step::Stop(own())),
        (State::Absent, Some(false)) => Some(Step::Uninstall(own())),
        (State::Running | State::Stopped, None) => Some(Step::Install(wanted.clone())),
        // One version of a name runs at a time.
        (State::Running, Some(false)) => Some(match running(container, actual) {
            Some(other) => Step::Stop(other.clone()),
            None => Step::Start(own()),
        }),
    }
}

/// The version of the container's name that runs.
fn running<'a>(container: &Container, actual: &'a Actual) -> Option<&'a Container> {
    actual
        .iter()
        .find(|(other, runs)| **runs && other.name() == container.name())
        .map(|(other, _)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn c(text: &str) -> Container {
        text.parse().unwrap()
    }

    fn wanted(container: &str, state: State) -> Wanted {
        Wanted {
            container: c(container),
            state,
            package: Some("p".to_owned()),
            repository: None,
        }
    }

    fn steps(wanted: Wanted, actual: &[(&str, bool)]) -> Vec<Step> {
        let desired = Desired {
            revision: 0,
            containers: vec![wanted],
        };
        let actual = actual.iter().map(|(name, runs)| (c(name), *runs)).collect();
        next(&desired, &actual)
    }

    #[test]
    fn each_difference_has_its_step() {
        use State::{Absent, Running, Stopped};
        let a = "a:1.0.0";
        let install = |state| vec![Step::Install(wanted(a, state))];
        let table = [
            (Running, vec![], install(Running)),
            (Stopped, vec![], install(Stopped)),
            (Absent, vec![], vec![]),
            (Running, vec![(a, false)], vec![Step::Start(c(a))]),
            (Stopped, vec![(a, false)], vec![]),
            (Absent, vec![(a, false)], vec![Step::Uninstall(c(a))]),
            (Running, vec![(a, true)], vec![]),
            (Stopped, vec![(a, true)], vec![Step::Stop(c(a))]),
            (Absent, vec![(a, true)], vec![Step::Stop(c(a))]),
            // An update: the old version goes on until the new one is there.
            (Running, vec![("a:0.9.0", true)], install(Running)),
            (
                Running,
                vec![("a:0.9.0", true), (a, false)],
                vec![Step::Stop(c("a:0.9.0"))],
            ),
            (Running, vec![("b:1.0.0", true), (a, true)], vec![]),
        ];
        for (state, actual, expected) in table {
            assert_eq!(
                steps(wanted(a, state), &actual),
                expected,
                "{state:?} {actual:?}"
            );
        }
    }
}
