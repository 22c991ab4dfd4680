//! The requests of one connection as they come: lines are read one after the other, and so are the raw bytes of
//! installs. A request without an id is answered before the next line is read, as in 0.9.2. One with an id goes on
//! beside the next ones, all in the connection's one task.

mod package;

use super::{
    answers::Held,
    input::{FREE, Input, LineError, LineLimits},
    install::StreamError,
    output::SendError,
    session::Session,
    slots::Established,
    throttle::Throttle,
};
use crate::supervisor::Gone;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use northstar_api::{self as api, Envelope, Message, Request, Response, codec};
use northstar_manifest::InvalidContainer;
use std::{pin::pin, time::Duration};
use tokio::io::AsyncRead;

/// Most containers in one request. Far more than there are in a system, far less than fit into a line: a line takes
/// little memory, a hundred thousand containers being mounted do not.
pub(super) const MAX_CONTAINERS: usize = 1024;

/// Most requests with an id under way.
pub(super) const MAX_PENDING: usize = 32;

/// How much of a pause a connection may make up for.
const BURST: Duration = Duration::from_secs(1);

/// Why there are no more requests.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("closed by the client")]
    Closed,
    #[error("the daemon ends")]
    Cancelled,
    #[error("a package of {size} bytes was refused unread")]
    Oversized { size: u64 },
    #[error(transparent)]
    Line(#[from] LineError),
    #[error("a line is no message")]
    Malformed(#[from] codec::CodecError),
    #[error("a message is no request")]
    NotRequest,
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Send(#[from] SendError),
    /// The protocol has no word for a `list` that failed, and an empty one would be a lie.
    #[error(transparent)]
    Gone(#[from] Gone),
    #[error(transparent)]
    Extern(#[from] InvalidContainer),
}

/// The requests that are under way beside the reading of lines.
type Running<'a> = FuturesUnordered<BoxFuture<'a, Result<(), End>>>;

/// Serves requests until something ends that.
pub(super) async fn serve<R: AsyncRead + Unpin>(
    session: &Session<'_>,
    input: &mut Input<R>,
    subscribed: bool,
    place: Option<&Established>,
) -> End {
    let mut requests = Requests {
        session,
        input,
        subscribed,
        place,
        throttle: Throttle::new(session.client.options.max_requests_per_sec, BURST),
    };
    let mut running = Running::new();
    let end = loop {
        if let Err(end) = requests.next(&mut running).await {
            break end;
        }
    };
    // Who has only closed its own half still waits for the answers.
    if matches!(end, End::Closed) {
        while let Some(done) = running.next().await {
            if let Err(end) = done {
                return end;
            }
        }
    }
    end
}

/// One connection's requests.
struct Requests<'a, 's, R> {
    session: &'s Session<'s>,
    input: &'a mut Input<R>,
    subscribed: bool,
    /// Its place at the listener.
    place: Option<&'a Established>,
    throttle: Throttle,
}

/// Does `work`, and goes on with what is running meanwhile.
async fn beside<T>(
    running: &mut Running<'_>,
    work: impl Future<Output = Result<T, End>>,
) -> Result<T, End> {
    let mut work = pin!(work);
    loop {
        if running.is_empty() {
            return work.await;
        }
        tokio::select! {
            biased;
            Some(done) = running.next() => done?,
            result = &mut work => return result,
        }
    }
}

/// Answers a request that was never under way. What else is under way with its id stays so.
fn unregistered(
    session: &Session<'_>,
    id: Option<u64>,
    response: Response,
    held: Held,
) -> Result<(), End> {
    let envelope = Envelope::new(id, response);
    Ok(session.outbox.send(envelope, held)?)
}

impl<'s, R: AsyncRead + Unpin> Requests<'_, 's, R> {
    /// Takes one request: answers it, or leaves it to what is running.
    async fn next(&mut self, running: &mut Running<'s>) -> Result<(), End> {
        while running.len() >= MAX_PENDING {
            if let Some(done) = running.next().await {
                done?;
            }
        }
        let idle = running.is_empty();
        let (id, request, held) = match beside(running, self.take()).await {
            Ok(taken) => taken,
            // Who waits for an answer has no reason to speak.
            Err(End::Line(LineError::Idle(_))) if !idle => return Ok(()),
            Err(end) => return Err(end),
        };
        let session = self.session;
        if let Some(answer) = self.unknown_word(&request)? {
            return unregistered(session, id, answer, held);
        }
        let Some(registered) = session.register(id, &request) else {
            let error = api::Error::DuplicateId {
                id: id.unwrap_or_default(),
            };
            // A package that follows has no place to go.
            let oversized = match request {
                Request::Install { size, .. } => Some(size),
                _ => None,
            };
            unregistered(session, id, Response::Error(error), held)?;
            return oversized.map_or(Ok(()), |size| Err(End::Oversized { size }));
        };
        let refusal = session.refusal(&request);
        match (request, refusal) {
            (Request::Install { repository, size }, refusal) => {
                self.install(running, registered, refusal, repository, size, held)
                    .await
            }
            (_, Some(response)) => beside(running, session.answer(id, response.into(), held)).await,
            (request, None) => {
                let mut registered = registered;
                let work = async move {
                    let answer = session.perform(request, &mut registered).await?;
                    session.answer(id, answer, held).await
                };
                self.begin(running, id, work.boxed()).await
            }
        }
    }

    /// Leaves work with an id to itself, and waits for work without.
    async fn begin(
        &mut self,
        running: &mut Running<'s>,
        id: Option<u64>,
        work: BoxFuture<'s, Result<(), End>>,
    ) -> Result<(), End> {
        match id {
            Some(_) => {
                running.push(work);
                Ok(())
            }
            None => beside(running, work).await,
        }
    }

    /// The next request, when it may pass and there is memory for its answer.
    async fn take(&mut self) -> Result<(Option<u64>, Request, Held), End> {
        let options = &self.session.client.options;
        let limits = LineLimits {
            length: options.max_request_size,
            // Who waits for notifications has no reason to speak.
            idle: options.idle_timeout.filter(|_| !self.subscribed),
            stall: options.stall_timeout,
        };
        let line = self.input.line(limits).await?.ok_or(End::Closed)?;
        let envelope = if self.session.agreed.ids {
            codec::decode_envelope(&line.text)?
        } else {
            codec::decode(&line.text)?.into()
        };
        let Envelope {
            id,
            sequence: None,
            message: Message::Request(request),
        } = envelope
        else {
            return Err(End::NotRequest);
        };
        self.throttle.pass().await;
        if let Some(place) = self.place {
            place.pass().await;
        }
        let expected = self.session.expected(&request, line.text.len()).await?;
        let held = match line.memory {
            // Whoever holds some must not wait for more. The longest line is longer than most answers.
            Some(mut memory) => {
                memory.shrink(expected.max(line.text.len().saturating_sub(FREE)));
                Held::from(memory)
            }
            None => self.session.outbox.answers.hold(expected).await,
        };
        Ok((id, request, held))
    }

    /// A request that this client has not asked for the words of. To 0.9.2 it is none at all.
    fn unknown_word(&self, request: &Request) -> Result<Option<Response>, End> {
        let agreed = self.session.agreed;
        let needs = match request {
            Request::Cancel { .. } if !agreed.jobs => "jobs",
            Request::Statistics { .. } | Request::RepositoryDetails if !agreed.details => "details",
            _ => return Ok(None),
        };
        if !agreed.extended {
            return Err(End::NotRequest);
        }
        let error = format!("the request needs the extension `{needs}`");
        Ok(Some(Response::Error(api::Error::Unexpected { error })))
    }
}
