//! The state that is asked for.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use northstar_client::api::{Container, RepositoryId};
use serde::Deserialize;

/// Longest name and version in bytes.
const LONGEST: usize = 256;

/// The state of a machine, as the broker has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Desired {
    /// Repeated in reports. A package that was refused is tried again when this changes.
    #[serde(default)]
    pub revision: u64,
    /// Containers that are not here are left alone.
    pub containers: Vec<Wanted>,
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Name and version.
    pub container: Container,
    /// What it has to be.
    pub state: State,
    /// Its package below the directory of packages: a path or a `file://` URL.
    pub package: Option<String>,
    /// Where to install it; `default` if it does not say.
    pub repository: Option<RepositoryId>,
}

/// What a container has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Installed and running. It is started again when it ends.
    Running,
    /// Installed and not running.
    Stopped,
    /// Not installed.
    Absent,
}

impl Desired {
    /// Reads what the broker sends.
    pub fn parse(json: &[u8]) -> Result<Desired> {
        let desired: Desired = serde_json::from_slice(json)?;
        let mut seen = BTreeSet::new();
        let mut running = BTreeSet::new();
        for wanted in &desired.containers {
            let Wanted {
                container, state, ..
            } = wanted;
            let length = container.to_string().len();
            ensure!(length <= LONGEST, "a container is called by {length} bytes");
            ensure!(seen.insert(container), "{container} is there twice");
            let single = *state != State::Running || running.insert(container.name());
            ensure!(single, "two versions of {} cannot run", container.name());
        }
        Ok(desired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts_itself_is_refused() {
        let parse = |containers: &str| {
            Desired::parse(format!(r#"{{"containers":[{containers}]}}"#).as_bytes())
        };
        let a = r#"{"container":"a:1.0.0","state":"running","package":"a.npk"}"#;
        assert_eq!(parse(a).unwrap().containers.len(), 1);
        assert!(
            parse(&format!("{a},{a}"))
                .unwrap_err()
                .to_string()
                .contains("twice")
        );
        let other = a.replace("1.0.0", "1.0.1");
        let error = parse(&format!("{a},{other}")).unwrap_err();
        assert_eq!(error.to_string(), "two versions of a cannot run");
        let absent = other.replace("running", "absent");
        assert_eq!(parse(&format!("{a},{absent}")).unwrap().containers.len(), 2);
        assert!(parse(r#"{"container":"..","state":"running"}"#).is_err());
        let long = a.replace("1.0.0", &format!("1.0.0-{}", "x".repeat(LONGEST)));
        assert!(parse(&long).is_err());
    }
}
