//! Which containers are meant.

use std::{fmt, str::FromStr};

use futures::future;
use glob::Pattern;
use northstar_api::{Container, InspectData, InspectResult, Name, Request, Response};

use crate::{
    failure::Failure,
    session::{Session, unexpected},
};

/// Containers as they are written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `NAME:VERSION`
    Exact(Container),
    /// `NAME`
    Name(Name),
    /// A pattern for names, or for `NAME:VERSION` if there is a colon in it.
    Pattern(Pattern),
}

impl FromStr for Target {
    type Err = String;

    // The error is what clap prints behind "invalid value".
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(['*', '?', '[']) {
            return Pattern::new(text)
                .map(Target::Pattern)
                .map_err(|error| error.msg.to_owned());
        }
        if text.contains(':') {
            let container: Result<Container, _> = text.parse();
            container
                .map(Target::Exact)
                .map_err(|error| match std::error::Error::source(&error) {
                    Some(cause) => format!("{error}: {cause}"),
                    None => error.to_string(),
                })
        } else {
            text.parse()
                .map(Target::Name)
                .map_err(|error: northstar_api::InvalidName| error.to_string())
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Exact(container) => container.fmt(f),
            Target::Name(name) => name.fmt(f),
            Target::Pattern(pattern) => pattern.fmt(f),
        }
    }
}

/// Whether a container is called as a pattern says.
fn matches(pattern: &Pattern, container: &Container) -> bool {
    if pattern.as_str().contains(':') {
        pattern.matches(&container.to_string())
    } else {
        pattern.matches(container.name().as_ref())
    }
}

/// Whether `container` is among those that `target` stands for, whatever they do.
pub fn means(target: &Target, container: &Container) -> bool {
    match target {
        Target::Exact(exact) => exact == container,
        Target::Name(name) => name == container.name(),
        Target::Pattern(pattern) => matches(pattern, container),
    }
}

/// What the containers are for. It decides which version a bare name means, and which containers a
/// pattern takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Start,
    Mount,
    Umount,
    /// A signal.
    Kill,
    Inspect,
    Uninstall,
}

impl Purpose {
    /// Whether a pattern takes a container in this state.
    fn takes(self, data: &InspectData) -> bool {
        let runs = data.process.is_some();
        match self {
            Purpose::Start => !runs && !data.manifest.is_resource(),
            Purpose::Mount => !data.mounted,
            Purpose::Umount => data.mounted && !runs,
            Purpose::Kill => runs,
            Purpose::Inspect | Purpose::Uninstall => true,
        }
    }

    /// What a pattern takes, as in "a container that ...".
    fn wanted(self) -> &'static str {
        match self {
            Purpose::Start => "can be started",
            Purpose::Mount => "is not mounted",
            Purpose::Umount => "is mounted and does not run",
            Purpose::Kill => "runs",
            Purpose::Inspect | Purpose::Uninstall => "is installed",
        }
    }

    /// Whether a bare name means the newest version, whatever the versions do.
    fn is_newest(self) -> bool {
        matches!(self, Purpose::Start | Purpose::Mount)
    }
}

/// The containers that `targets` mean, each one once.
pub async fn resolve(
    session: &Session,
    targets: &[Target],
    purpose: Purpose,
) -> Result<Vec<Container>, Failure> {
    let mut containers = Vec::new();
    for target in targets {
        let chosen = match target {
            Target::Exact(container) => vec![container.clone()],
            Target::Name(name) => vec![by_name(session, name, purpose).await?],
            Target::Pattern(pattern) => by_pattern(session, pattern, purpose).await?,
        };
        for container in chosen {
            if !containers.contains(&container) {
                containers.push(container);
            }
        }
    }
    Ok(containers)
}

async fn by_name(session: &Session, name: &Name, purpose: Purpose) -> Result<Container, Failure> {
    let mut versions = list(session).await?;
    versions.retain(|container| container.name() == name);
    versions.sort();
    let Some(newest) = versions.last().cloned() else {
        return Err(Failure::NoContainer {
            name: name.to_string(),
        });
    };
    if versions.len() == 1 || purpose.is_newest() {
        return Ok(newest);
    }
    if purpose == Purpose::Uninstall {
        return Err(ambiguous(name, &versions));
    }
    let mut chosen = Vec::new();
    for (container, data) in inspect_all(session, versions).await? {
        let fits = match purpose {
            Purpose::Umount => data.mounted,
            _ => data.process.is_some(),
        };
        if fits {
            chosen.push(container);
        }
    }
    match chosen.as_slice() {
        [] => Ok(newest),
        [container] => Ok(container.clone()),
        several => Err(ambiguous(name, several)),
    }
}

fn ambiguous(name: &Name, candidates: &[Container]) -> Failure {
    let candidates: Vec<String> = candidates.iter().map(Container::to_string).collect();
    Failure::Ambiguous {
        name: name.to_string(),
        candidates: candidates.join(", "),
    }
}

async fn by_pattern(
    session: &Session,
    pattern: &Pattern,
    purpose: Purpose,
) -> Result<Vec<Container>, Failure> {
    let mut containers = list(session).await?;
    containers.retain(|container| matches(pattern, container));
    containers.sort();
    if !matches!(purpose, Purpose::Inspect | Purpose::Uninstall) {
        let states = inspect_all(session, containers).await?;
        containers = select(&states, purpose);
    }
    if containers.is_empty() {
        return Err(Failure::NoMatch {
            pattern: pattern.to_string(),
            wanted: purpose.wanted(),
        });
    }
    Ok(containers)
}

/// What a verb can work on, out of containers in their order.
fn select(states: &[(Container, InspectData)], purpose: Purpose) -> Vec<Container> {
    let versions = |name: &Name| {
        let name = name.clone();
        states.iter().filter(move |(c, _)| *c.name() == name)
    };
    states
        .iter()
        .filter(|(container, data)| {
            let newest = versions(container.name()).next_back();
            let is_newest = newest.is_some_and(|(newest, _)| newest == container);
            // One version of a name runs at a time.
            let name_runs = || versions(container.name()).any(|(_, data)| data.process.is_some());
            purpose.takes(data)
                && (!purpose.is_newest() || is_newest)
                && !(purpose == Purpose::Start && name_runs())
        })
        .map(|(container, _)| container.clone())
        .collect()
}

/// The installed containers.
pub async fn list(session: &Session) -> Result<Vec<Container>, Failure> {
    match session.look_up(Request::List).await? {
        Response::List(containers) => Ok(containers),
        other => Err(unexpected(other)),
    }
}

/// The states of containers, without those that are gone meanwhile.
pub async fn inspect_all(
    session: &Session,
    containers: Vec<Container>,
) -> Result<Vec<(Container, InspectData)>, Failure> {
    let requests = containers
        .into_iter()
        .map(|container| session.look_up(Request::Inspect { container }));
    let mut states = Vec::new();
    for response in future::try_join_all(requests).await? {
        match response {
            Response::Inspect(InspectResult::Ok { container, data }) => {
                states.push((container, *data));
            }
            Response::Inspect(InspectResult::Error { .. }) => {}
            other => return Err(unexpected(other)),
        }
    }
    Ok(states)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let exact: Target = "a:0.0.1".parse().unwrap();
        assert_eq!(exact, Target::Exact("a:0.0.1".parse().unwrap()));
        assert_eq!(
            "a".parse::<Target>(),
            Ok(Target::Name("a".parse().unwrap()))
        );
        for text in ["a*", "a:1.*", "?", "[ab]*", "*"] {
            assert!(
                matches!(text.parse::<Target>(), Ok(Target::Pattern(_))),
                "{text}"
            );
        }
        for text in ["a:", ":0.0.1", "a:1", "", "a/b", "../a:0.0.1", "[a", "a***"] {
            assert!(
                matches!(text.parse::<Target>(), Err(message) if !message.is_empty()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_pattern_is_about_names_unless_it_has_a_colon() {
        let cases = [
            ("a*", true),
            ("app", true),
            ("*", true),
            ("ap", false),
            ("app:1*", true),
            ("app:2*", false),
            ("*:1.2.3", true),
            ("b*:*", false),
        ];
        for (pattern, expected) in cases {
            let pattern = Pattern::new(pattern).unwrap();
            let container = "app:1.2.3".parse().unwrap();
            assert_eq!(matches(&pattern, &container), expected, "{pattern}");
        }
    }

    /// The state of a container: `r`uns, is `m`ounted, is a `R`esource, or none of it.
    fn state(container: &str, state: char) -> (Container, InspectData) {
        let container: Container = container.parse().unwrap();
        let init = if state == 'R' { "" } else { r#","init":"/a""# };
        let process = if state == 'r' {
            r#"{"pid":1,"uptime":1,"statistics":{}}"#
        } else {
            "null"
        };
        let data = format!(
            r#"{{"manifest":{{"name":"{}","version":"{}"{init},"uid":1,"gid":1}},"repository":"r","mounted":{},"process":{process}}}"#,
            container.name(),
            container.version(),
            "rm".contains(state),
        );
        (container, serde_json::from_str(&data).unwrap())
    }

    #[test]
    fn a_pattern_takes_what_the_verb_can_work_on() {
        let states = [
            state("a:1.0.0", 'r'),
            state("a:2.0.0", ' '),
            state("b:1.0.0", ' '),
            state("b:2.0.0", 'm'),
            state("c:1.0.0", 'R'),
        ];
        let cases: [(Purpose, &[&str]); 6] = [
            (Purpose::Start, &["b:2.0.0"]),
            (Purpose::Mount, &["a:2.0.0", "c:1.0.0"]),
            (Purpose::Umount, &["b:2.0.0"]),
            (Purpose::Kill, &["a:1.0.0"]),
            (
                Purpose::Inspect,
                &["a:1.0.0", "a:2.0.0", "b:1.0.0", "b:2.0.0", "c:1.0.0"],
            ),
            (
                Purpose::Uninstall,
                &["a:1.0.0", "a:2.0.0", "b:1.0.0", "b:2.0.0", "c:1.0.0"],
            ),
        ];
        for (purpose, expected) in cases {
            let chosen: Vec<String> = select(&states, purpose)
                .iter()
                .map(Container::to_string)
                .collect();
            assert_eq!(chosen, expected, "{purpose:?}");
        }
    }
}
