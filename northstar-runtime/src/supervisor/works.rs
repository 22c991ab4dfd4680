//! The real [`Workshop`]: each piece of work is a task that ends in one outcome for the driver.

use super::{
    Error, Event, ExitStatus, Inspection, Process, Protection, Publisher, Usage,
    command::{Reply, Wipe},
    ending::Ending,
    machine::{Launched, Order, Outcome, Removal, Request, UnmountFailure, Workshop},
    measuring::Measuring,
    registry::{Entry, Facts, Image, Need, Parts},
    report,
    uploads::install_error,
};
use crate::{
    config::RepositoryId,
    launch::{self, Context, Report, Running},
    repository::{InstalledPackage, RemoveError, Repository, Staged},
    selinux,
    storage::{self, Integrity, Kernel, MountRequest, MountedImage, UnmountError},
};
use northstar_manifest::{Autostart, Container, Mount};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::sync::{Semaphore, mpsc};
use tracing::{info, warn};

/// Everything that the driver orders work from.
#[derive(Debug)]
pub(super) struct Works {
    pub(super) context: Arc<Context>,
    pub(super) kernel: Kernel,
    pub(super) repositories: BTreeMap<RepositoryId, Repository>,
    /// Repositories whose containers may be started with arguments.
    pub(super) start_command: BTreeSet<RepositoryId>,
    /// Below it images are mounted.
    pub(super) run_dir: PathBuf,
    pub(super) loop_timeout: Duration,
    /// Mounts and umounts that may be under way.
    pub(super) mounts: Arc<Semaphore>,
    pub(super) outcomes: mpsc::UnboundedSender<Outcome<Works>>,
    pub(super) uploads: mpsc::UnboundedSender<Request<Works>>,
    /// Installs that may be under way.
    pub(super) installs: Arc<Semaphore>,
    pub(super) max_installs: usize,
    pub(super) measuring: Measuring,
    pub(super) events: Publisher,
}

impl Parts for Works {
    type Package = Arc<InstalledPackage>;
    type Image = MountedImage;
    type Process = launch::Process;
    type Staged = (RepositoryId, Staged);
    type Committed = InstalledPackage;
}

impl Works {
    /// What the state machine needs to know of a package.
    pub(super) fn facts(&self, package: &InstalledPackage) -> Facts {
        let manifest = &package.manifest;
        let needs = manifest
            .mounts
            .iter()
            .filter_map(|(target, mount)| match mount {
                Mount::Resource { name, version, .. } => Some(Need {
                    target: target.clone(),
                    name: name.clone(),
                    version: version.clone(),
                }),
                _ => None,
            });
        Facts {
            repository: package.repository.clone(),
            resource: manifest.is_resource(),
            start_command: self.start_command.contains(&package.repository),
            critical: manifest.autostart == Some(Autostart::Critical),
            needs: needs.collect(),
        }
    }

    /// Runs a piece of work and sends its outcome. The driver is gone only at the very end of the daemon.
    fn spawn(&self, work: impl Future<Output = Outcome<Works>> + Send + 'static) {
        let outcomes = self.outcomes.clone();
        tokio::spawn(async move {
            let _ = outcomes.send(work.await);
        });
    }
}

impl Workshop for Works {
    fn mount(&mut self, container: &Container, package: &Arc<InstalledPackage>) {
        let request = MountRequest {
            container: container.clone(),
            source: package.source.clone(),
            integrity: package.integrity,
            target: self.run_dir.join(container.to_string()),
            selinux_context: package
                .manifest
                .selinux
                .as_ref()
                .and_then(|labels| selinux::effective(labels.mount_context.as_ref())),
            loop_timeout: self.loop_timeout,
        };
        let (container, kernel) = (container.clone(), self.kernel.clone());
        let mounts = Arc::clone(&self.mounts);
        self.spawn(async move {
            // The semaphore is never closed.
            let _slot = mounts.acquire().await;
            let result = storage::mount(&kernel, request).await;
            match &result {
                Ok(_) => info!("mounted {container}"),
                Err(error) => warn!("mount of {container}: {}", report(error)),
            }
            Outcome::Mounted(container, result.map_err(Arc::new))
        });
    }

    fn unmount(&mut self, container: &Container, image: MountedImage) {
        let container = container.clone();
        let mounts = Arc::clone(&self.mounts);
        self.spawn(async move {
            let _slot = mounts.acquire().await;
            let result = match image.release().await {
                Ok(()) => {
                    info!("unmounted {container}");
                    Ok(())
                }
                Err(UnmountError::Busy { image, .. }) => Err(UnmountFailure::Busy(*image)),
                Err(error) => {
                    warn!("umount of {container}: {}", report(&error));
                    Err(UnmountFailure::Incomplete(Arc::new(error)))
                }
            };
            Outcome::Unmounted(container, result)
        });
    }

    fn launch(&mut self, order: Order<'_, Works>) {
        let Order {
            container,
            package,
            image,
            resources,
            overrides,
            cancel,
        } = order;
        let container = container.clone();
        let roots = root_of(image).and_then(|root| {
            let resources = resources.into_iter().map(root_of);
            Ok((root, resources.collect::<io::Result<Vec<_>>>()?))
        });
        let (root, resources) = match roots {
            Ok(roots) => roots,
            Err(error) => {
                let error = Arc::new(launch::Error::Root(error));
                return self.spawn(async move { Outcome::Launched(container, Err(error)) });
            }
        };
        let package = Arc::clone(package);
        let request = launch::Request {
            package,
            root,
            resources,
            overrides,
        };
        let (context, outcomes) = (Arc::clone(&self.context), self.outcomes.clone());
        tokio::spawn(async move {
            // As in `spawn`.
            let tell = |outcome| drop(outcomes.send(outcome));
            match launch::launch(context, request, cancel).await {
                Ok(running) => watch(container, running, tell).await,
                Err(error) => {
                    warn!("start of {container}: {}", report(&error));
                    tell(Outcome::Launched(container, Err(Arc::new(error))));
                }
            }
        });
    }

    fn signal(&mut self, process: &launch::Process, signal: i32) -> io::Result<()> {
        process.signal(signal)
    }

    fn remove(&mut self, container: &Container, package: &Arc<InstalledPackage>, wipe: Wipe) {
        let container = container.clone();
        let repository = package.repository.clone();
        let removal = self
            .repositories
            .get(&repository)
            .and_then(|repository| repository.removal(&container));
        let context = Arc::clone(&self.context);
        self.spawn(async move {
            let result = async {
                if let Some(removal) = removal {
                    removal.execute().await?;
                }
                Ok(match wipe {
                    Wipe::Keep => Removal::Complete,
                    Wipe::Remove => wipe_data(context, repository, container.clone()).await,
                })
            };
            let result: Result<Removal, RemoveError> = result.await;
            Outcome::Removed(container, result.map_err(Arc::new))
        });
    }

    fn forget(&mut self, container: &Container, package: &Arc<InstalledPackage>) {
        if let Some(repository) = self.repositories.get_mut(&package.repository) {
            repository.forget(container);
        }
    }

    fn commit(&mut self, container: &Container, (repository, staged): (RepositoryId, Staged)) {
        let container = container.clone();
        self.spawn(async move {
            let result = staged.commit().await;
            let result = result.map_err(|error| install_error(repository, error));
            Outcome::Committed(container, result)
        });
    }

    fn adopt(&mut self, package: InstalledPackage) -> (Arc<InstalledPackage>, Facts) {
        let facts = self.facts(&package);
        let package = match self.repositories.get_mut(&package.repository) {
            Some(repository) => repository.insert(package),
            None => Arc::new(package),
        };
        (package, facts)
    }

    fn describe(&self, entry: &Entry<Works>) -> Inspection {
        Inspection {
            manifest: Arc::clone(&entry.package.manifest),
            repository: entry.package.repository.clone(),
            mounted: matches!(entry.image, Image::Mounted(_)),
            integrity: match entry.package.integrity {
                Integrity::None => Protection::None,
                Integrity::DmVerity => Protection::DmVerity,
                Integrity::FullRead => Protection::FullRead,
            },
            skipped: entry.skipped.clone(),
            state: entry.state(),
            starts: entry.starts,
            last_exit: entry.last_exit,
            process: None,
        }
    }

    fn measure(
        &mut self,
        process: &launch::Process,
        mut inspection: Inspection,
        reply: Reply<Result<Inspection, Error>>,
    ) {
        let process = process.clone();
        self.measuring.answer(reply, move || {
            inspection.process = Some(measured(&process));
            Ok(inspection)
        });
    }

    fn measure_all(
        &mut self,
        usage: Vec<(Usage, Option<launch::Process>)>,
        reply: Reply<Vec<Usage>>,
    ) {
        self.measuring.answer(reply, move || {
            let all = usage.into_iter().map(|(usage, process)| Usage {
                process: process.as_ref().map(measured),
                ..usage
            });
            all.collect()
        });
    }

    fn publish(&mut self, event: Event) {
        match &event {
            Event::Started(container) => info!("started {container}"),
            Event::Exited(container, exit) => info!("{container} ended with {}", exit.status),
            Event::Installed(container) => info!("installed {container}"),
            Event::Uninstalled(container) => info!("uninstalled {container}"),
            Event::CgroupMemory(container, events) => {
                warn!("{container} is short of memory: {events:?}");
            }
            // The work itself has told.
            Event::Mounted(_) | Event::Unmounted(_) | Event::Shutdown => {}
        }
        self.events.send(event);
    }
}

/// Tells that a container runs, and what becomes of it until nothing of it is left.
async fn watch(container: Container, running: Running, tell: impl Fn(Outcome<Works>)) {
    if !running.skipped().is_empty() {
        let skipped = running.skipped().join(", ");
        warn!("{container} starts without what is missing here: {skipped}");
    }
    let launched = Launched {
        process: running.process(),
        skipped: running.skipped(),
    };
    tell(Outcome::Launched(container.clone(), Ok(launched)));
    let process = running.process();
    let report = |report| {
        let container = container.clone();
        tell(match report {
            Report::Memory(events) => Outcome::Memory(container, events),
            Report::Ended(status) => {
                let ending = ending(status, &process);
                Outcome::Ended(container, ending)
            }
            Report::CleanedUp => Outcome::CleanedUp(container),
        });
    };
    running.watch(report).await;
}

/// What is known about the end of a container whose control group is still there.
fn ending(status: ExitStatus, process: &launch::Process) -> Ending {
    let events = process.statistics().memory_events;
    Ending {
        status,
        out_of_memory: events.oom_kill.is_some_and(|kills| kills > 0),
        silent: process.init_was_silent(),
    }
}

/// Reads the numbers of the kernel.
fn measured(process: &launch::Process) -> Process {
    Process {
        pid: process.pid(),
        uptime: process.uptime(),
        statistics: process.statistics(),
    }
}

/// A descriptor of its own for the root of an image. It keeps the mount busy until it is closed.
fn root_of(image: &MountedImage) -> io::Result<OwnedFd> {
    image.root().try_clone_to_owned()
}

async fn wipe_data(
    context: Arc<Context>,
    repository: RepositoryId,
    container: Container,
) -> Removal {
    let wiped =
        tokio::task::spawn_blocking(move || context.store.wipe(&repository, container.name()));
    match wiped.await {
        Ok(Ok(())) => Removal::Complete,
        Ok(Err(error)) => Removal::DataLeft(Arc::new(error)),
        Err(error) => Removal::DataLeft(Arc::new(error.into())),
    }
}
