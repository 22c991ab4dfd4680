//! The supervisor as the rest of the daemon sees it: a cheap handle that sends commands and waits for the answers.
//!
//! Every call gets exactly one answer. A call whose future is dropped is still carried out.

use super::{
    Error, Event, Gone, Inspection,
    command::{Command, Reply, Wipe},
    install::InstallSlot,
};
use crate::repository::RepositoryId;
use northstar_manifest::Container;
use std::collections::BTreeMap;
use tokio::sync::{broadcast, mpsc, oneshot};

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
    events: broadcast::WeakSender<Event>,
}

impl Handle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        events: broadcast::WeakSender<Event>,
    ) -> Handle {
        Handle { commands, events }
    }

    /// All installed containers and resources, sorted.
    pub async fn list(&self) -> Result<Vec<Container>, Gone> {
        self.ask(Command::List).await
    }

    /// The configured repositories, in the order of the configuration.
    pub async fn repositories(&self) -> Result<Vec<RepositoryId>, Gone> {
        self.ask(Command::Repositories).await
    }

    /// What is known about one container.
    pub async fn inspect(&self, container: Container) -> Result<Inspection, Error> {
        self.ask(|reply| Command::Inspect(container, reply)).await?
    }

    /// Mounts the containers in parallel; the answers are in the order of the question.
    pub async fn mount(&self, containers: Vec<Container>) -> Vec<(Container, Result<(), Error>)> {
        self.for_each(containers, Command::Mount).await
    }

    /// Unmounts the containers in parallel; the answers are in the order of the question.
    pub async fn umount(&self, containers: Vec<Container>) -> Vec<(Container, Result<(), Error>)> {
        self.for_each(containers, Command::Umount).await
    }

    /// Starts a container. Ok means that its `execve` has happened.
    pub async fn start(
        &self,
        container: Container,
        overrides: StartOverrides,
    ) -> Result<(), Error> {
        self.ask(|reply| Command::Start(container, overrides, reply))
            .await?
    }

    /// Sends a signal to the process group of the container's program; signal 9 ends the whole container.
    pub async fn kill(&self, container: Container, signal: i32) -> Result<(), Error> {
        self.ask(|reply| Command::Kill(container, signal, reply))
            .await?
    }

    /// Prepares the install of a package of `size` bytes.
    pub async fn install(&self, repository: RepositoryId, size: u64) -> Result<InstallSlot, Error> {
        self.ask(|reply| Command::Install(repository, size, reply))
            .await?
    }

    /// Unmounts and removes a package, with `wipe` also its persistent data.
    pub async fn uninstall(&self, container: Container, wipe: bool) -> Result<(), Error> {
        let wipe = if wipe { Wipe::Remove } else { Wipe::Keep };
        self.ask(|reply| Command::Uninstall(container, wipe, reply))
            .await?
    }

    /// Asks for an orderly end of the daemon. Does not wait for it: [`Event::Shutdown`] announces it.
    pub async fn shutdown(&self) {
        // An error means that the end has come already.
        let _ = self.commands.send(Command::Shutdown).await;
    }

    /// All events from now on. The receiver closes when the supervisor has ended.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        match self.events.upgrade() {
            Some(sender) => sender.subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    async fn for_each(
        &self,
        containers: Vec<Container>,
        command: fn(Container, Reply<Result<(), Error>>) -> Command,
    ) -> Vec<(Container, Result<(), Error>)> {
        let requests = containers.into_iter().map(|container| async move {
            let result = self.ask(|reply| command(container.clone(), reply)).await;
            (
                container,
                result.map_err(Error::from).and_then(|result| result),
            )
        });
        futures::future::join_all(requests).await
    }
}
