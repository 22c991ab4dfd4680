//! What happens by itself at the start of the daemon: first the repositories that are to be mounted, then the
//! containers that are to be started, all in parallel.
//!
//! It uses a [`Handle`] like any client, so that clients and autostart meet only in the admission.

use super::{Error, Handle, Job, StartOverrides, shutdown::Stop};
use crate::{config::Config, repository::InstalledPackage};
use northstar_manifest::{Autostart, Container};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::sync::mpsc;
use tracing::{info, warn};

/// What to do, computed before the consoles can change anything.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Agenda {
    mount: Vec<Container>,
    start: Vec<(Container, Autostart)>,
}

impl Agenda {
    /// `containers` are all installed ones in ascending order, each with the `mount_on_start` of its repository and
    /// the `autostart` of its manifest. Of a name that wants to start in several versions the newest is started.
    pub(super) fn new(
        containers: impl IntoIterator<Item = (Container, bool, Option<Autostart>)>,
    ) -> Agenda {
        let mut mount = Vec::new();
        let mut start = BTreeMap::new();
        for (container, mount_on_start, autostart) in containers {
            if let Some(autostart) = autostart {
                start.insert(container.name().clone(), (container.clone(), autostart));
            }
            if mount_on_start {
                mount.push(container);
            }
        }
        Agenda {
            mount,
            start: start.into_values().collect(),
        }
    }

    /// The agenda for these packages.
    pub(super) fn of(packages: &[Arc<InstalledPackage>], config: &Config) -> Agenda {
        let configured = config.repositories.iter();
        let mounted: BTreeSet<_> = configured
            .filter(|(_, config)| config.mount_on_start)
            .map(|(id, _)| id)
            .collect();
        let mut packages: Vec<_> = packages.iter().collect();
        packages.sort_by(|a, b| a.container.cmp(&b.container));
        Agenda::new(packages.into_iter().map(|package| {
            let mount_on_start = mounted.contains(&package.repository);
            (
                package.container.clone(),
                mount_on_start,
                package.manifest.autostart,
            )
        }))
    }

    /// Carries it out. A critical container that does not start is a reason to stop.
    pub(super) async fn run(self, handle: Handle, stops: mpsc::UnboundedSender<Stop>) {
        for (container, result) in handle.mount(self.mount, Job::default()).await {
            if let Err(error) = result {
                warn!("mount of {container} at the start: {}", error.report());
            }
        }
        let starts = self.start.into_iter().map(|(container, autostart)| {
            let (handle, stops) = (handle.clone(), stops.clone());
            async move { start(container, autostart, &handle, &stops).await }
        });
        futures::future::join_all(starts).await;
    }
}

async fn start(
    container: Container,
    autostart: Autostart,
    handle: &Handle,
    stops: &mpsc::UnboundedSender<Stop>,
) {
    match (
        handle
            .start(container.clone(), StartOverrides::default(), Job::default())
            .await,
        autostart,
    ) {
        (Ok(()), _) => info!("autostarted {container}"),
        // A client was faster.
        (Err(Error::StartContainerStarted { container: running }), _) => {
            info!("autostart of {container}: {running} runs already");
        }
        (Err(error), Autostart::Relaxed) => {
            warn!("autostart of {container}: {}", error.report());
        }
        (Err(error), Autostart::Critical) => {
            // If nobody receives it the daemon is ending already.
            let _ = stops.send(Stop::CriticalStart { container, error });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_version_of_a_name_is_started() {
        let container = |text: &str| text.parse::<Container>().unwrap();
        let agenda = Agenda::new([
            (container("a:1.0.0"), false, Some(Autostart::Critical)),
            (container("a:2.0.0"), true, Some(Autostart::Relaxed)),
            (container("a:3.0.0"), false, None),
            (container("b:1.0.0"), true, None),
        ]);
        assert_eq!(agenda.start, [(container("a:2.0.0"), Autostart::Relaxed)]);
        assert_eq!(agenda.mount, [container("a:2.0.0"), container("b:1.0.0")]);
    }
}
