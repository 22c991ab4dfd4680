//! From the state that is asked for to the next step for each container, and what comes of it.

use std::time::Duration;

use anyhow::Result;
use northstar_client::{
    Client, RequestError,
    api::{Container, Error},
};
use serde_json::json;
use tokio::time::Instant;

use super::Agent;
use crate::{
    desired::{Desired, Wanted},
    packages,
    plan::{self, Actual, Step},
    report,
};

/// How long a step may take without anything moving.
const PATIENCE: Duration = Duration::from_secs(60);

impl Agent {
    /// Does the next step for each container whose time has come.
    pub(super) async fn converge(&mut self) {
        self.state.looked = Instant::now();
        // Without one the next connection is told of. Nobody would be heard while it is waited for here.
        let Some(client) = self.requests.handle().current() else {
            return;
        };
        let client = client.with_timeout(Some(PATIENCE));
        let actual = match actual(&client, &self.state.desired).await {
            Ok(actual) => actual,
            Err(error) => {
                eprintln!("cannot ask for the state: {error}");
                return;
            }
        };
        let steps = plan::next(&self.state.desired, &actual);
        self.state.stopping.only(&plan::stops(&steps));
        for step in steps {
            let container = step.container().clone();
            if !self.state.retries.is_due(&container, Instant::now()) {
                continue;
            }
            // A container takes its time to end: looking at once would hear nobody meanwhile. Its end is told.
            let is_over = !matches!(step, Step::Stop(_));
            match self.perform(&client, step).await {
                // The next step of the container comes with the next look.
                Ok(()) => {
                    self.state.failures.remove(&container);
                    self.state.dirty |= is_over;
                }
                Err(error) => {
                    self.failed(container, &error);
                    self.state.dirty = true;
                }
            }
        }
    }

    fn failed(&mut self, container: Container, error: &anyhow::Error) {
        let now = Instant::now();
        let text = report::text(error);
        if is_final(error) {
            eprintln!("{container}: {text}; not tried again");
            self.state.retries.refused(&container, now);
            let event = json!({"refused": {"container": container, "error": text}});
            self.state.outbox.offer(event.to_string().into_bytes());
        } else {
            let pause = self.state.retries.failed(&container, now);
            eprintln!("{container}: {text}; next try in {pause:?}");
        }
        self.state.failures.insert(container, text);
    }

    async fn perform(&mut self, client: &Client, step: Step) -> Result<()> {
        match step {
            Step::Install(wanted) => self.install(client, wanted).await,
            Step::Start(container) => Ok(client.start(container).await?),
            Step::Stop(container) => self.stop(client, container).await,
            Step::Uninstall(container) => Ok(client.uninstall(container, false).await?),
        }
    }

    /// Asks a container to end, or ends it if it was asked in vain.
    async fn stop(&mut self, client: &Client, container: Container) -> Result<()> {
        let stopping = &mut self.state.stopping;
        let now = Instant::now();
        if let Some(signal) = stopping.signal(&container, now) {
            client.kill(container.clone(), signal).await?;
            stopping.sent(container, now);
        }
        Ok(())
    }

    async fn install(&self, client: &Client, wanted: Wanted) -> Result<()> {
        let package = wanted.package.as_deref().ok_or(Refused::NoPackage)?;
        let path = packages::find(&self.packages, package)?;
        let repository = wanted.repository.as_deref().unwrap_or("default");
        let installed = client.install_file(repository, &path, |_| {}).await?;
        if installed != wanted.container {
            client.uninstall(installed.clone(), false).await?;
            return Err(Refused::Another(installed).into());
        }
        Ok(())
    }
}

/// What a package is refused for here.
#[derive(Debug)]
enum Refused {
    NoPackage,
    Another(Container),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::NoPackage => f.write_str("it is not installed, and no package is named"),
            Refused::Another(container) => write!(f, "the package is that of {container}"),
        }
    }
}

impl std::error::Error for Refused {}

/// Whether trying again would end in the same way: the package is bad, or this client may not do it.
fn is_final(error: &anyhow::Error) -> bool {
    if error.is::<Refused>() {
        return true;
    }
    match error.downcast_ref() {
        Some(RequestError::PermissionDenied(_)) => true,
        Some(RequestError::Server(error)) => matches!(
            error,
            Error::PackageRefused { .. }
                | Error::InstallTooLarge { .. }
                | Error::InvalidRepository { .. }
                | Error::StartContainerResource { .. }
                // A daemon of 0.9.x says no more about a package that it refuses.
                | Error::Unexpected { .. }
        ),
        _ => false,
    }
}

/// Which of the containers that are asked for are installed and run, and other versions of them.
async fn actual(client: &Client, desired: &Desired) -> Result<Actual, RequestError> {
    let mut actual = Actual::new();
    for container in client.list().await? {
        let mut wanted = desired.containers.iter();
        if !wanted.any(|wanted| wanted.container.name() == container.name()) {
            continue;
        }
        match client.inspect(container.clone()).await {
            Ok(data) => drop(actual.insert(container, data.process.is_some())),
            // It went meanwhile.
            Err(RequestError::Server(Error::InvalidContainer { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(actual)
}
