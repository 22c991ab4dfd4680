//! What the requests of one connection do: authorised, carried out, answered, cancelled.

mod answer;
mod perform;
mod refusal;

pub(super) use answer::Answer;
pub(super) use refusal::shortened;

use super::{
    Context,
    agreed::Agreed,
    answers::Held,
    connection::Client,
    listed::identified,
    output::{Outbox, SendError},
    requests::End,
    translate::{self, Words},
};
use crate::supervisor::{Job, Watcher};
use answer::{Content, Then};
use bytes::BytesMut;
use northstar_api::{self as api, Envelope, Message, Request, Response, Unit};
use std::{
    collections::HashMap,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Least time between two lines about the progress of one request.
const PROGRESS_PAUSE: Duration = Duration::from_millis(100);

/// One connection after its handshake.
pub(super) struct Session<'a> {
    pub client: &'a Client,
    pub context: &'a Context,
    pub agreed: &'a Agreed,
    pub outbox: &'a Outbox,
    pub words: Words,
    /// The requests with an id that are under way. Those that can be cancelled have a token.
    pending: Mutex<HashMap<u64, Option<CancellationToken>>>,
}

/// A request with an id is being worked on. It is forgotten before its answer goes out, so that the id is free when
/// the client sees that.
pub(super) struct Registered {
    pub id: Option<u64>,
    pub job: Job,
    pub watcher: Option<Watcher>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        client: &'a Client,
        context: &'a Context,
        agreed: &'a Agreed,
        outbox: &'a Outbox,
    ) -> Session<'a> {
        Session {
            client,
            context,
            agreed,
            outbox,
            words: Words {
                details: agreed.details,
            },
            pending: Mutex::default(),
        }
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<u64, Option<CancellationToken>>> {
        // Every change is a single one: a panic elsewhere leaves the map right.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request into account. `None` if its id is in use.
    pub(super) fn register(&self, id: Option<u64>, request: &Request) -> Option<Registered> {
        let watched = self.agreed.jobs && id.is_some() && takes_time(request);
        let (job, watcher) = if watched {
            let (job, watcher) = Job::watched();
            (job, Some(watcher))
        } else {
            (Job::default(), None)
        };
        if let Some(id) = id {
            let mut pending = self.pending();
            if pending.contains_key(&id) {
                return None;
            }
            pending.insert(id, watcher.as_ref().map(|watcher| watcher.cancel.clone()));
        }
        Some(Registered { id, job, watcher })
    }

    /// Sends an answer. Its request is no longer under way.
    pub(super) async fn answer(
        &self,
        id: Option<u64>,
        answer: Answer,
        mut held: Held,
    ) -> Result<(), End> {
        if let Some(id) = id {
            self.pending().remove(&id);
        }
        let Answer { mut content, then } = answer;
        if let Content::Message(message) = &mut content {
            message.id = id;
        }
        let mut line = self.line(id, &content)?;
        if let Content::Inspected(container, _) = &content {
            self.context.lengths.remember(container, line.len());
        }
        if !held.covers(line.len()) {
            // How long it is is known only now. While it waits it is not there: it is written again when it is paid for.
            held = match self.outbox.answers.try_hold(line.len()) {
                Some(more) => more,
                None => {
                    let length = line.len();
                    drop((line, held));
                    let held = self.outbox.answers.hold(length).await;
                    line = self.line(id, &content)?;
                    held
                }
            };
        }
        held.shrink(line.len());
        self.outbox.send_line(line, held)?;
        match then {
            Then::Continue => Ok(()),
            Then::Shutdown => {
                self.context.handle.shutdown().await;
                Ok(())
            }
            Then::End(end) => Err(end),
        }
    }

    fn line(&self, id: Option<u64>, content: &Content) -> Result<BytesMut, SendError> {
        let line = match content {
            Content::Message(message) => translate::line(message)?,
            Content::Line(line) => identified(id, line),
            Content::Inspected(container, inspection) => {
                let inspection = inspection.as_ref().clone();
                let result = self.words.inspected(container.clone(), inspection);
                translate::line(&Envelope::new(id, Response::Inspect(result)))?
            }
        };
        Ok(line)
    }

    /// Waits for a piece of work and tells meanwhile how far it has come.
    pub(super) async fn follow<T>(
        &self,
        registered: &mut Registered,
        unit: Unit,
        work: impl Future<Output = T>,
    ) -> Result<T, SendError> {
        let (Some(id), Some(watcher)) = (registered.id, &mut registered.watcher) else {
            return Ok(work.await);
        };
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return Ok(result),
                changed = watcher.progress.changed() => if changed.is_err() {
                    return Ok(work.await);
                },
            }
            let progress = *watcher.progress.borrow_and_update();
            let progress = Message::Progress(api::Progress {
                done: progress.done,
                total: progress.total,
                unit,
            });
            self.outbox.offer(Envelope::new(Some(id), progress))?;
            tokio::select! {
                biased;
                result = &mut work => return Ok(result),
                () = sleep(PROGRESS_PAUSE) => {}
            }
        }
    }
}

/// Whether a request can be watched and cancelled.
fn takes_time(request: &Request) -> bool {
    match request {
        Request::Mount { .. }
        | Request::Umount { .. }
        | Request::Install { .. }
        | Request::Start { .. }
        | Request::Uninstall { .. } => true,
        Request::Ident
        | Request::Inspect { .. }
        | Request::Kill { .. }
        | Request::List
        | Request::Repositories
        | Request::RepositoryDetails
        | Request::Shutdown
        | Request::TokenCreate { .. }
        | Request::TokenVerify { .. }
        | Request::Cancel { .. }
        | Request::Statistics { .. } => false,
    }
}
