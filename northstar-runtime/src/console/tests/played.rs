//! The supervisor that the tests play.

use super::container;
use crate::supervisor::{
    Asker, Error, Event, Exit, ExitReason, ExitStatus, Inspection, Process, Protection,
    RepositoryFacts, State, Statistics, Usage,
    script::{self, Asked, Script},
};
use northstar_manifest::{Container, Manifest};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// The repositories of the played supervisor.
pub(super) fn repositories() -> [RepositoryFacts; 2] {
    let facts = |name: &str, in_memory, protection| RepositoryFacts {
        id: name.parse().unwrap(),
        in_memory,
        protection,
    };
    [
        facts("default", false, Protection::DmVerity),
        facts("deaf", true, Protection::None),
    ]
}

/// What the played supervisor was asked, and the bytes of the uploads that got to their end.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) asked: Vec<String>,
    pub(super) uploads: Vec<Option<Vec<u8>>>,
    /// Who asked for each `inspect`.
    pub(super) askers: Vec<Asker>,
}

/// Knows `app:1.0.0`, whatever is done to it, and the repository `default`. The repository `deaf` refuses an upload
/// after its first bytes.
pub(super) async fn play(mut script: Script, record: Arc<Mutex<Record>>) {
    let app = container("app:1.0.0");
    let known = |asked: &Container| match asked == &app {
        true => Ok(()),
        false => Err(Error::InvalidContainer {
            container: asked.clone(),
        }),
    };
    let events = script.events.clone();
    while let Some(asked) = script.next().await {
        record.lock().unwrap().asked.push(describe(&asked));
        // A test that does not wait for its answer is no failure.
        match asked {
            Asked::List(reply) => {
                drop(reply.send([app.clone(), container("lib:0.1.0")].into()));
            }
            Asked::Repositories(reply) => {
                drop(reply.send(vec!["default".parse().unwrap(), "deaf".parse().unwrap()]));
            }
            Asked::Inspect(container, reply) => {
                record.lock().unwrap().askers.push(reply.asker());
                drop(reply.send(known(&container).map(|()| inspection())));
            }
            Asked::Statistics(_, reply) => drop(reply.send(vec![usage()])),
            Asked::Cancelled => {}
            Asked::Mount(container, reply)
            | Asked::Umount(container, reply)
            | Asked::Kill(container, _, reply)
            | Asked::Uninstall(container, _, reply) => drop(reply.send(known(&container))),
            Asked::Start(container, _, reply) => {
                if known(&container).is_ok() {
                    events.send(Event::Started(container.clone()));
                }
                drop(reply.send(known(&container)));
            }
            Asked::Install(repository, _, reply) => {
                let record = Arc::clone(&record);
                match repository.as_str() {
                    "default" => {
                        let (slot, uploading) = script::upload(repository, reply.job());
                        drop(reply.send(Ok(slot)));
                        tokio::spawn(async move {
                            let bytes = uploading.finish(Ok(container("new:0.0.1"))).await;
                            record.lock().unwrap().uploads.push(bytes);
                        });
                    }
                    "deaf" => {
                        let (slot, uploading) = script::upload(repository, reply.job());
                        uploading.refuse(Error::InstallDuplicate {
                            container: app.clone(),
                        });
                        drop(reply.send(Ok(slot)));
                    }
                    _ => drop(reply.send(Err(Error::InvalidRepository { repository }))),
                }
            }
            Asked::Shutdown => events.send(Event::Shutdown),
        }
    }
}

pub(super) fn exited(container: &Container, status: ExitStatus) -> Event {
    let reason = ExitReason::OwnExit;
    Event::Exited(container.clone(), Exit { status, reason })
}

pub(super) fn describe(asked: &Asked) -> String {
    match asked {
        Asked::List(_) => "list".to_owned(),
        Asked::Repositories(_) => "repositories".to_owned(),
        Asked::Inspect(container, _) => format!("inspect {container}"),
        Asked::Statistics(containers, _) => format!("statistics {containers:?}"),
        Asked::Cancelled => "cancelled".to_owned(),
        Asked::Mount(container, _) => format!("mount {container}"),
        Asked::Umount(container, _) => format!("umount {container}"),
        Asked::Start(container, overrides, _) => format!(
            "start {container} {:?} {:?} {:?}",
            overrides.init, overrides.arguments, overrides.environment
        ),
        Asked::Kill(container, signal, _) => format!("kill {container} {signal}"),
        Asked::Install(repository, size, _) => format!("install {repository} {size}"),
        Asked::Uninstall(container, wipe, _) => format!("uninstall {container} {wipe}"),
        Asked::Shutdown => "shutdown".to_owned(),
    }
}

pub(super) fn usage() -> Usage {
    Usage {
        container: container("app:1.0.0"),
        mounted: true,
        starts: 3,
        process: inspection().process,
    }
}

pub(super) fn inspection() -> Inspection {
    let name = "app".parse().unwrap();
    let mut manifest = Manifest::new(name, "1.0.0".parse().unwrap(), 1000, 100_000);
    manifest.init = Some("/app".to_owned());
    Inspection {
        manifest: Arc::new(manifest),
        repository: "default".parse().unwrap(),
        mounted: true,
        integrity: Protection::FullRead,
        skipped: vec!["/opt".to_owned()],
        state: State::Running,
        starts: 3,
        last_exit: Some(Exit {
            status: ExitStatus::Signalled(9),
            reason: ExitReason::OutOfMemory,
        }),
        process: Some(Process {
            pid: 42,
            uptime: Duration::from_secs(1),
            statistics: Statistics::default(),
        }),
    }
}
