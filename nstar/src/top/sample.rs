//! What containers use, as the daemon tells it.

use std::time::Instant;

use northstar_api::{Container, ContainerStatistics, ProcessData, Request, Response};

use crate::{
    failure::Failure,
    resolve::{Target, inspect_all, list, means},
    session::{Session, unexpected},
};

/// What containers use at one time.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When the answer came.
    pub at: Instant,
    /// In the order of names and versions.
    pub containers: Vec<Usage>,
}

/// What one container uses.
#[derive(Clone, Debug)]
pub struct Usage {
    pub container: Container,
    pub mounted: bool,
    /// How often it was started since the daemon's start; `None` if the daemon does not tell.
    pub starts: Option<u64>,
    pub process: Option<ProcessData>,
}

/// Takes samples of some containers, or of all if none are named.
pub struct Sampler<'a> {
    session: &'a Session,
    targets: Vec<Target>,
}

impl<'a> Sampler<'a> {
    pub fn new(session: &'a Session, targets: Vec<Target>) -> Sampler<'a> {
        Sampler { session, targets }
    }

    pub fn session(&self) -> &'a Session {
        self.session
    }

    /// Asks the daemon: all at once, or one by one if it does not know better.
    pub async fn sample(&self) -> Result<Sample, Failure> {
        let mut containers = if self.session.has_details() {
            statistics(self.session).await?
        } else {
            inspections(self.session).await?
        };
        containers.retain(|usage| self.is_wanted(&usage.container));
        containers.sort_by(|a, b| a.container.cmp(&b.container));
        Ok(Sample {
            at: Instant::now(),
            containers,
        })
    }

    fn is_wanted(&self, container: &Container) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|target| means(target, container))
    }
}

async fn statistics(session: &Session) -> Result<Vec<Usage>, Failure> {
    let all = Request::Statistics {
        containers: Vec::new(),
    };
    let containers = match session.ask(all).await? {
        Response::Statistics(containers) => containers,
        other => return Err(unexpected(other)),
    };
    let usage = |statistics: ContainerStatistics| Usage {
        container: statistics.container,
        mounted: statistics.mounted,
        starts: Some(statistics.starts),
        process: statistics.process,
    };
    Ok(containers.into_iter().map(usage).collect())
}

async fn inspections(session: &Session) -> Result<Vec<Usage>, Failure> {
    let containers = list(session).await?;
    let states = inspect_all(session, containers).await?;
    let usage = |(container, data): (Container, northstar_api::InspectData)| Usage {
        container,
        mounted: data.mounted,
        starts: None,
        process: data.process,
    };
    Ok(states.into_iter().map(usage).collect())
}
