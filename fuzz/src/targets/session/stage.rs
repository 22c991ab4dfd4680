//! The supervisor of the conversation, and what it can tell of it afterwards.
//!
//! It knows every container whose name begins with `a`. The repository `default` takes whatever it gets, `deaf` refuses
//! it after the first bytes, `full` before them, and there are no others.

use std::time::Duration;

use northstar_manifest::{Container, Manifest};
use northstar_runtime::config::RepositoryId;
use northstar_runtime::supervisor::script::{self, Asked, Done, Publisher, Script, Uploading};
use northstar_runtime::supervisor::{
    Error, Event, Exit, ExitReason, ExitStatus, Handle, Inspection, Protection, RepositoryFacts,
    State, Usage,
};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How the supervisor is.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Each answer takes a second.
    pub is_slow: bool,
    /// It ends the daemon when it is asked to.
    pub ends_daemon: bool,
    /// It keeps two events only for those who are slow.
    pub is_forgetful: bool,
}

/// What it was asked and has told.
#[derive(Debug, Default)]
pub struct Told {
    /// The questions, each with the permission that it needs and what it is about.
    pub questions: Vec<String>,
    /// What it has published, in this order.
    pub events: Vec<Event>,
    /// Packages for `default`, in the order of the installs; those that were given up are none.
    pub packages: Vec<Option<Vec<u8>>>,
}

/// What comes of an install into `default`.
pub const INSTALLED: &str = "new:0.0.1";
/// What an install into `deaf` is refused for.
pub const DUPLICATE: &str = "old:0.0.1";
/// How many installs are too many for `full`.
pub const MOST_INSTALLS: usize = 8;
/// What is installed.
pub const LISTED: [&str; 2] = ["app:1.0.0", "lib:0.1.0"];
/// The repositories by name.
pub const REPOSITORIES: [&str; 3] = ["default", "deaf", "full"];

/// Whether there is such a container.
pub fn is_known(container: &Container) -> bool {
    container.name().as_ref().starts_with('a')
}

/// A handle of it, and its script.
pub fn script(manner: Manner) -> (Handle, Script) {
    let facts = REPOSITORIES.map(|name| RepositoryFacts {
        id: repository(name),
        in_memory: name == "full",
        protection: Protection::FullRead,
    });
    script::script(if manner.is_forgetful { 2 } else { 1024 }, &facts)
}

fn repository(name: &str) -> RepositoryId {
    name.parse().expect("a name of a repository")
}

fn container(text: &str) -> Container {
    text.parse().expect("a container")
}

/// Plays it until nobody asks any more.
pub async fn play(mut script: Script, manner: Manner, cancel: CancellationToken) -> Told {
    let mut stage = Stage {
        events: script.events.clone(),
        told: Told::default(),
        uploads: JoinSet::new(),
    };
    while let Some(asked) = script.next().await {
        if manner.is_slow {
            sleep(Duration::from_secs(1)).await;
        }
        let is_shutdown = matches!(asked, Asked::Shutdown);
        stage.answer(asked);
        stage.collect();
        if is_shutdown && manner.ends_daemon {
            cancel.cancel();
        }
    }
    while let Some(done) = stage.uploads.join_next().await {
        stage.keep(done.expect("an upload does not panic"));
    }
    stage.told
}

struct Stage {
    events: Publisher,
    told: Told,
    /// Packages for `default`, by their index.
    uploads: JoinSet<(usize, Option<Vec<u8>>)>,
}

impl Stage {
    fn asked(&mut self, permission: &str, about: impl std::fmt::Display) {
        self.told.questions.push(format!("{permission} {about}"));
    }

    fn publish(&mut self, event: Event) {
        self.told.events.push(event.clone());
        self.events.send(event);
    }

    /// Takes the packages that have arrived.
    fn collect(&mut self) {
        while let Some(done) = self.uploads.try_join_next() {
            self.keep(done.expect("an upload does not panic"));
        }
    }

    fn keep(&mut self, (index, package): (usize, Option<Vec<u8>>)) {
        self.told.packages[index] = package;
    }

    fn done(&mut self, container: Container, reply: Done, event: fn(Container) -> Event) {
        let outcome = match is_known(&container) {
            true => {
                self.publish(event(container));
                Ok(())
            }
            false => Err(Error::InvalidContainer { container }),
        };
        // Nobody may wait for it any more.
        drop(reply.send(outcome));
    }

    fn answer(&mut self, asked: Asked) {
        match asked {
            Asked::List(reply) => {
                self.asked("list", "");
                drop(reply.send(LISTED.map(container).into()));
            }
            Asked::Repositories(reply) => {
                self.asked("repositories", "");
                drop(reply.send(REPOSITORIES.map(repository).into()));
            }
            Asked::Inspect(container, reply) => {
                self.asked("inspect", &container);
                let outcome = match is_known(&container) {
                    true => Ok(inspection(&container)),
                    false => Err(Error::InvalidContainer { container }),
                };
                drop(reply.send(outcome));
            }
            Asked::Statistics(containers, reply) => {
                self.asked("inspect", containers.len());
                let known = containers.into_iter().filter(is_known);
                drop(reply.send(known.map(usage).collect()));
            }
            Asked::Mount(container, reply) => {
                self.asked("mount", &container);
                self.done(container, reply, Event::Mounted);
            }
            Asked::Umount(container, reply) => {
                self.asked("umount", &container);
                self.done(container, reply, Event::Unmounted);
            }
            Asked::Start(container, overrides, reply) => {
                let permission = match overrides.is_empty() {
                    true => "start",
                    false => "start_command",
                };
                self.asked(permission, &container);
                self.done(container, reply, Event::Started);
            }
            Asked::Kill(container, signal, reply) => {
                self.asked("kill", format_args!("{container} {signal}"));
                self.done(container, reply, |container| {
                    Event::Exited(container, exit())
                });
            }
            Asked::Uninstall(container, wipe, reply) => {
                self.asked("uninstall", format_args!("{container} {wipe}"));
                self.done(container, reply, Event::Uninstalled);
            }
            Asked::Install(repository, size, reply) => {
                self.asked("install", format_args!("{repository} {size}"));
                if repository.as_str() == "full" {
                    let limit = MOST_INSTALLS;
                    return drop(reply.send(Err(Error::TooManyInstalls { limit })));
                }
                if !REPOSITORIES.contains(&repository.as_str()) {
                    return drop(reply.send(Err(Error::InvalidRepository { repository })));
                }
                let (slot, uploading) = script::upload(repository.clone(), reply.job());
                match repository.as_str() {
                    "deaf" => uploading.refuse(Error::InstallDuplicate {
                        container: container(DUPLICATE),
                    }),
                    _ => self.upload(uploading),
                }
                drop(reply.send(Ok(slot)));
            }
            Asked::Cancelled => self.asked("", "cancelled"),
            Asked::Shutdown => {
                self.asked("shutdown", "");
                self.publish(Event::Shutdown);
            }
        }
    }

    fn upload(&mut self, uploading: Uploading) {
        let index = self.told.packages.len();
        self.told.packages.push(None);
        self.uploads.spawn(async move {
            let outcome = Ok(container(INSTALLED));
            (index, uploading.finish(outcome).await)
        });
    }
}

/// How every container ends that is killed.
pub fn exit() -> Exit {
    Exit {
        status: ExitStatus::Signalled(9),
        reason: ExitReason::OwnSignal,
    }
}

fn inspection(container: &Container) -> Inspection {
    let name = container.name().clone();
    let manifest = Manifest::new(name, container.version().clone(), 1000, 1000);
    Inspection {
        manifest: manifest.into(),
        repository: repository("default"),
        mounted: true,
        integrity: Protection::DmVerity,
        skipped: Vec::new(),
        state: State::Mounted,
        starts: 0,
        last_exit: Some(exit()),
        process: None,
    }
}

fn usage(container: Container) -> Usage {
    Usage {
        container,
        mounted: true,
        starts: 0,
        process: None,
    }
}
