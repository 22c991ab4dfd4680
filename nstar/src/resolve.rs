//! Which container is meant.

use std::{fmt, str::FromStr};

use futures::future;
use northstar_api::{Container, InspectData, InspectResult, Name, Request, Response};

use crate::{
    failure::Failure,
    session::{Session, unexpected},
};

/// A container as it is written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `NAME:VERSION`
    Exact(Container),
    /// `NAME`
    Name(Name),
}

impl FromStr for Target {
    type Err = String;

    // The error is what clap prints behind "invalid value".
    fn from_str(text: &str) -> Result<Self, Self::Err> {
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
        }
    }
}

/// Which version a bare name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The newest.
    Newest,
    /// The running one, or the newest.
    Running,
    /// The mounted one, or the newest.
    Mounted,
    /// The only one; it is an error if there are several.
    Only,
}

/// The container that `target` means.
pub async fn resolve(
    session: &Session,
    target: &Target,
    choice: Choice,
) -> Result<Container, Failure> {
    let name = match target {
        Target::Exact(container) => return Ok(container.clone()),
        Target::Name(name) => name,
    };
    let mut versions = list(session).await?;
    versions.retain(|container| container.name() == name);
    versions.sort();
    let Some(newest) = versions.last().cloned() else {
        return Err(Failure::NoContainer {
            name: name.to_string(),
        });
    };
    if versions.len() == 1 || choice == Choice::Newest {
        return Ok(newest);
    }
    if choice == Choice::Only {
        return Err(ambiguous(name, &versions));
    }
    let mut chosen = Vec::new();
    for (container, data) in inspect_all(session, versions).await? {
        let fits = match choice {
            Choice::Mounted => data.mounted,
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
        for text in ["a:", ":0.0.1", "a:1", "", "a/b", "../a:0.0.1"] {
            assert!(
                matches!(text.parse::<Target>(), Err(message) if !message.is_empty()),
                "{text}"
            );
        }
    }
}
