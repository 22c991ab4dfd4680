//! What the requests of one connection do: authorised, carried out, answered, cancelled.

use super::{
    Context,
    agreed::Agreed,
    answers::Held,
    connection::Client,
    listed::identified,
    output::{Outbox, SendError},
    peer::Peer,
    permissions,
    requests::{End, MAX_CONTAINERS},
    token::{Parties, Verification},
    translate::{self, Words, repository},
};
use crate::supervisor::{Inspection, Job, StartOverrides, Watcher};
use bytes::{Bytes, BytesMut};
use northstar_api::{
    self as api, CancelResult, ContainerResult, Envelope, Message, Name, Request, Response, Token,
    Unit, VerificationResult,
};
use northstar_manifest::{Container, Permission};
use std::{
    collections::HashMap,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Who a client outside of all containers is.
const EXTERN: &str = "extern:0.0.0";
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

/// The answer to one request, and what comes after it.
pub(super) struct Answer {
    pub content: Content,
    pub then: Then,
}

/// What an answer says.
pub(super) enum Content {
    /// A response, without its id.
    Message(Envelope),
    /// The line of it, as it is without an id.
    Line(Bytes),
    /// A container that was inspected. Most of it is shared with the supervisor as long as it is not written as JSON.
    Inspected(Container, Box<Inspection>),
}

impl From<Response> for Content {
    fn from(response: Response) -> Content {
        Content::Message(response.into())
    }
}

pub(super) enum Then {
    Continue,
    /// Only now that the answer is on its way: afterwards there may be nobody left to send it.
    Shutdown,
    End(End),
}

impl From<Response> for Answer {
    fn from(response: Response) -> Answer {
        Answer {
            content: response.into(),
            then: Then::Continue,
        }
    }
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

    /// Why the request is not carried out, if it is not. An install's package comes anyway.
    pub(super) fn refusal(&self, request: &Request) -> Option<Response> {
        if let Some(permission) = self.lacks(request) {
            debug!("{}: has no permission {permission}", self.client.peer);
            return Some(Response::PermissionDenied(request.clone()));
        }
        match request {
            Request::Mount { containers } if containers.len() > MAX_CONTAINERS => {
                Some(self.too_many(containers, Response::Mount))
            }
            Request::Umount { containers } if containers.len() > MAX_CONTAINERS => {
                Some(self.too_many(containers, Response::Umount))
            }
            Request::Statistics { containers } if containers.len() > MAX_CONTAINERS => {
                Some(self.too_many(containers, |_| Response::Statistics(Vec::new())))
            }
            _ => None,
        }
    }

    /// The permission that the request needs and the client has not.
    pub(super) fn lacks(&self, request: &Request) -> Option<Permission> {
        let required = permissions::required(request);
        required.filter(|permission| !self.client.permissions.contains(*permission))
    }

    /// In the words of 0.9.2 it is an answer about the first container.
    fn too_many(
        &self,
        containers: &[Container],
        response: fn(Vec<ContainerResult>) -> Response,
    ) -> Response {
        let count = containers.len();
        if self.agreed.details {
            return Response::Error(api::Error::TooManyContainers {
                count: count as u64,
                limit: MAX_CONTAINERS as u64,
            });
        }
        let cause =
            format!("{count} containers in one request are too many (at most {MAX_CONTAINERS})");
        let first = containers.first().map(|container| ContainerResult::Error {
            container: container.clone(),
            error: api::Error::InvalidArguments { cause },
        });
        response(first.into_iter().collect())
    }

    /// Carries out a request that may be carried out. Those with raw bytes are not done here.
    pub(super) async fn perform(
        &self,
        request: Request,
        registered: &mut Registered,
    ) -> Result<Answer, End> {
        let handle = &self.context.handle;
        let words = self.words;
        let job = registered.job.clone();
        let response = match request {
            Request::Shutdown => {
                return Ok(Answer {
                    content: Response::Shutdown.into(),
                    then: Then::Shutdown,
                });
            }
            Request::Ident => Response::Ident(self.ident()?),
            Request::List => {
                let line = self.context.listed.line(handle.list().await?);
                return Ok(Answer {
                    content: Content::Line(line.map_err(SendError::from)?),
                    then: Then::Continue,
                });
            }
            Request::Repositories => {
                let repositories = handle.repositories().await?;
                Response::Repositories(repositories.into_iter().map(String::from).collect())
            }
            Request::RepositoryDetails => {
                let repositories = handle.repository_details();
                Response::RepositoryDetails(repositories.iter().map(repository).collect())
            }
            Request::Inspect { container } => match handle.inspect(container.clone()).await {
                Ok(inspection) => {
                    return Ok(Answer {
                        content: Content::Inspected(container, Box::new(inspection)),
                        then: Then::Continue,
                    });
                }
                Err(failure) => Response::Inspect(words.not_inspected(container, failure)),
            },
            Request::Statistics { containers } => {
                let usage = handle.statistics(containers).await?;
                Response::Statistics(usage.into_iter().map(|usage| words.usage(usage)).collect())
            }
            Request::Mount { containers } => {
                let work = handle.mount(containers, job);
                let outcomes = self.follow(registered, Unit::Containers, work).await?;
                Response::Mount(words.results(outcomes))
            }
            Request::Umount { containers } => {
                let work = handle.umount(containers, job);
                let outcomes = self.follow(registered, Unit::Containers, work).await?;
                Response::Umount(words.results(outcomes))
            }
            Request::Start {
                container,
                init,
                arguments,
                environment,
            } => {
                let overrides = StartOverrides {
                    init,
                    arguments,
                    environment,
                };
                let work = handle.start(container.clone(), overrides, job);
                let outcome = self.follow(registered, Unit::Containers, work).await?;
                Response::Start(words.result(container, outcome))
            }
            Request::Kill { container, signal } => {
                let outcome = handle.kill(container.clone(), signal).await;
                Response::Kill(words.result(container, outcome))
            }
            Request::Uninstall { container, wipe } => {
                let work = handle.uninstall(container.clone(), wipe, job);
                let outcome = self.follow(registered, Unit::Containers, work).await?;
                Response::Uninstall(words.result(container, outcome))
            }
            Request::TokenCreate { target, shared } => {
                let parties = Parties {
                    creator: self.client.peer.name(),
                    target: target.as_ref(),
                    shared: &shared,
                };
                Response::Token(Token::from(self.context.tokens.create(parties)))
            }
            Request::TokenVerify {
                token,
                user,
                shared,
            } => Response::TokenVerification(self.verify(&token, &user, &shared)),
            Request::Cancel { id } => Response::Cancel(self.cancel(id).await),
            Request::Install { .. } => return Err(End::NotRequest),
        };
        Ok(response.into())
    }

    /// Passes on that a request is not wanted any more.
    async fn cancel(&self, id: u64) -> CancelResult {
        let found = self.pending().get(&id).cloned();
        let Some(found) = found else {
            let error = api::Error::UnknownId { id };
            return CancelResult::Error { id, error };
        };
        // What has no token is as good as done.
        if let Some(cancel) = found {
            cancel.cancel();
            self.context.handle.cancelled().await;
        }
        CancelResult::Ok { id }
    }

    fn ident(&self) -> Result<Container, End> {
        match &self.client.peer {
            Peer::Container(container) => Ok(container.clone()),
            Peer::Tcp(_) | Peer::Tls { .. } | Peer::Process { .. } => Ok(EXTERN.parse()?),
        }
    }

    /// The target of a token is whoever verifies it: nobody can do that in another's name.
    fn verify(&self, token: &Token, user: &Name, shared: &[u8]) -> VerificationResult {
        let parties = Parties {
            creator: user.as_ref(),
            target: self.client.peer.name(),
            shared,
        };
        let validity = self.client.options.token_validity;
        match self
            .context
            .tokens
            .verify(token.as_bytes(), parties, validity)
        {
            Verification::Ok => VerificationResult::Ok,
            Verification::Invalid => VerificationResult::Invalid,
            Verification::Expired => VerificationResult::Expired,
            Verification::Future => VerificationResult::Future,
        }
    }
}

/// A refusal that does not repeat all of a name that can be none.
pub(super) fn shortened(refusal: Response, longest: usize) -> Response {
    match refusal {
        Response::PermissionDenied(Request::Install { repository, size }) => {
            let repository = repository.chars().take(longest).collect();
            Response::PermissionDenied(Request::Install { repository, size })
        }
        other => other,
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
