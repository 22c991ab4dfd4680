//! The supervisor as the rest of the daemon sees it: a cheap handle that sends commands and waits for the answers.
//!
//! Every call gets exactly one answer. A call whose future is dropped is still carried out.

use super::{
    Asker, Error, Events, Gone, Inspection, Job, RepositoryFacts, Usage,
    command::{Command, Reply, Wipe},
    install::InstallSlot,
    journal::Journal,
};
use crate::repository::RepositoryId;
use futures::{StreamExt, stream};
use northstar_manifest::Container;
use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};
use tokio::sync::mpsc;

/// What a start changes of the manifest's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartOverrides {
    /// Replaces the manifest's `init`; `<INIT>` in it stands for the manifest's.
    pub init: Option<String>,
    /// Replace the manifest's `args` if there are any.
    pub arguments: Vec<String>,
    /// Merged over the manifest's `env`.
    pub environment: BTreeMap<String, String>,
}

impl StartOverrides {
    /// Nothing is changed: the start needs the permission `start` only.
    pub fn is_empty(&self) -> bool {
        self.init.is_none() && self.arguments.is_empty() && self.environment.is_empty()
    }
}

/// A way to the supervisor. Clones speak to the same one.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    journal: Journal,
    limits: Limits,
    repositories: Arc<[RepositoryFacts]>,
    asker: Asker,
}

/// What is limited in number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Most containers of one request that are under way.
    pub(super) parallel: NonZeroUsize,
    /// Most installs that are under way.
    pub(super) max_installs: NonZeroUsize,
}

impl Handle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        journal: Journal,
        limits: Limits,
        repositories: Arc<[RepositoryFacts]>,
    ) -> Handle {
        Handle {
            commands,
            journal,
            limits,
            repositories,
            asker: Asker::default(),
        }
    }

    /// The same way, for `asker`: what makes others wait is asked in its turns.
    pub fn by(&self, asker: Asker) -> Handle {
        let handle = self.clone();
        Handle { asker, ..handle }
    }

    /// All installed containers and resources, sorted. The same list as long as they are the same.
    pub async fn list(&self) -> Result<std::sync::Arc<[Container]>, Gone> {
        self.ask(Command::List).await
    }

    /// The configured repositories, in the order of the configuration.
    pub async fn repositories(&self) -> Result<Vec<RepositoryId>, Gone> {
        self.ask(Command::Repositories).await
    }

    /// What the configured repositories are, in the order of the configuration. This never changes.
    pub fn repository_details(&self) -> &[RepositoryFacts] {
        &self.repositories
    }

    /// What is known about one container.
    pub async fn inspect(&self, container: Container) -> Result<Inspection, Error> {
        self.ask(|reply| Command::Inspect(container, reply)).await?
    }

    /// What these containers use, or all if there are none.
    pub async fn statistics(&self, containers: Vec<Container>) -> Result<Vec<Usage>, Gone> {
        self.ask(|reply| Command::Statistics(containers, reply))
            .await
    }

    /// Mounts the containers, some at a time; the answers are in the order of the question. Those that were not begun
    /// when the job is cancelled have the error [`Error::Cancelled`].
    pub async fn mount(
        &self,
        containers: Vec<Container>,
        job: Job,
    ) -> Vec<(Container, Result<(), Error>)> {
        self.for_each(containers, job, Command::Mount).await
    }

    /// Unmounts the containers, as [`Handle::mount`] mounts them.
    pub async fn umount(
        &self,
        containers: Vec<Container>,
        job: Job,
    ) -> Vec<(Container, Result<(), Error>)> {
        self.for_each(containers, job, Command::Umount).await
    }

    /// Starts a container. Ok means that its `execve` has happened.
    pub async fn start(
        &self,
        container: Container,
        overrides: StartOverrides,
        job: Job,
    ) -> Result<(), Error> {
        self.single(job, |reply| Command::Start(container, overrides, reply))
            .await
    }

    /// Sends a signal to the process group of the container's program; signal 9 ends the whole container.
    pub async fn kill(&self, container: Container, signal: i32) -> Result<(), Error> {
        self.ask(|reply| Command::Kill(container, signal, reply))
            .await?
    }

    /// Prepares the install of a package of `size` bytes.
    pub async fn install(
        &self,
        repository: RepositoryId,
        size: u64,
        job: Job,
    ) -> Result<InstallSlot, Error> {
        self.ask_for(job, |reply| Command::Install(repository, size, reply))
            .await?
    }

    /// Unmounts and removes a package, with `wipe` also its persistent data.
    pub async fn uninstall(&self, container: Container, wipe: bool, job: Job) -> Result<(), Error> {
        let wipe = if wipe { Wipe::Remove } else { Wipe::Keep };
        self.single(job, |reply| Command::Uninstall(container, wipe, reply))
            .await
    }

    /// Tells the supervisor that a job was cancelled.
    pub async fn cancelled(&self) {
        // An error means that the end has come already, and with it all answers.
        let _ = self.commands.send(Command::Cancelled).await;
    }

    /// Asks for an orderly end of the daemon. Does not wait for it: [`Event::Shutdown`](super::Event::Shutdown) announces it.
    pub async fn shutdown(&self) {
        // An error means that the end has come already.
        let _ = self.commands.send(Command::Shutdown).await;
    }

    /// All events from now on. They end with the supervisor.
    pub fn subscribe(&self) -> Events {
        self.journal.read()
    }

    /// All events after number `seen`, if they are all still there.
    pub fn subscribe_after(&self, seen: u64) -> Option<Events> {
        self.journal.read_after(seen)
    }

    /// How many installs may be under way.
    pub fn max_installs(&self) -> usize {
        self.limits.max_installs.get()
    }

    /// How many events are kept for slow readers.
    pub fn events_kept(&self) -> usize {
        self.journal.capacity()
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Gone> {
        self.ask_for(Job::default(), command).await
    }

    async fn ask_for<T>(
        &self,
        job: Job,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, Gone> {
        let (reply, answer) = Reply::channel(job);
        let reply = reply.by(self.asker.clone());
        self.commands.send(command(reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// A job of one step.
    async fn single(
        &self,
        job: Job,
        command: impl FnOnce(Reply<Result<(), Error>>) -> Command,
    ) -> Result<(), Error> {
        job.begin(1);
        let result = self.ask_for(job.clone(), command).await?;
        job.advance(1);
        result
    }

    /// A job of one step for each container. Goes on when nobody waits for it any more.
    async fn for_each(
        &self,
        containers: Vec<Container>,
        job: Job,
        command: fn(Container, Reply<Result<(), Error>>) -> Command,
    ) -> Vec<(Container, Result<(), Error>)> {
        job.begin(u64::try_from(containers.len()).unwrap_or(u64::MAX));
        let asked = containers.clone();
        let handle = self.clone();
        let work = async move {
            let each = |container: Container| {
                let (handle, job) = (&handle, job.clone());
                async move {
                    if job.is_cancelled() {
                        return (container, Err(Error::Cancelled));
                    }
                    let asked = container.clone();
                    let answer = handle.ask_for(job.clone(), |reply| command(asked, reply));
                    let result = answer.await.map_err(Error::from).and_then(|result| result);
                    job.advance(1);
                    (container, result)
                }
            };
            let works = stream::iter(containers).map(each);
            works
                .buffered(handle.limits.parallel.get())
                .collect::<Vec<_>>()
                .await
        };
        match tokio::spawn(work).await {
            Ok(results) => results,
            // The runtime shuts down.
            Err(_) => asked
                .into_iter()
                .map(|container| (container, Err(Gone.into())))
                .collect(),
        }
    }
}
