//! The requests of one connection: read, authorised, carried out, answered; one after the other.

use super::{
    Context,
    connection::Client,
    input::{Input, LineError, LineLimits},
    install::{self, StreamError},
    output::{Outbox, SendError},
    peer::Peer,
    permissions,
    slots::Established,
    throttle::Throttle,
    token::{Parties, Verification},
    translate,
};
use crate::{
    config::RepositoryId,
    supervisor::{Gone, StartOverrides, report},
};
use northstar_api::{
    self as api, InstallResult, Message, Name, Request, Response, Token, VerificationResult, codec,
};
use northstar_manifest::{Container, InvalidContainer};
use std::time::Duration;
use tokio::io::AsyncRead;
use tracing::debug;

/// Who a client outside of all containers is.
const EXTERN: &str = "extern:0.0.0";

/// Most containers in one request. Far more than there are in a system, far less than fit into a line: a line takes
/// little memory, a hundred thousand containers being mounted do not.
const MAX_CONTAINERS: usize = 1024;

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
    #[error("a request names {0} containers, at most {MAX_CONTAINERS} are served")]
    TooManyContainers(usize),
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

/// The answer to one request, and what comes after it.
struct Answer {
    response: Response,
    then: Then,
}

enum Then {
    Continue,
    /// Only now that the answer is on its way: afterwards there may be nobody left to send it.
    Shutdown,
    End(End),
}

impl From<Response> for Answer {
    fn from(response: Response) -> Answer {
        Answer {
            response,
            then: Then::Continue,
        }
    }
}

/// One connection's requests.
pub(super) struct Requests<'a, R> {
    pub client: &'a Client,
    pub context: &'a Context,
    pub input: &'a mut Input<R>,
    pub subscribed: bool,
    /// Its place at the listener.
    pub place: Option<&'a Established>,
}

/// How much of a pause a connection may make up for.
const BURST: Duration = Duration::from_secs(1);

impl<R: AsyncRead + Unpin> Requests<'_, R> {
    /// Serves requests until something ends that.
    pub(super) async fn serve(&mut self, outbox: &Outbox) -> End {
        let mut throttle = Throttle::new(self.client.options.max_requests_per_sec, BURST);
        loop {
            if let Err(end) = self.next(&mut throttle, outbox).await {
                return end;
            }
        }
    }

    async fn next(&mut self, throttle: &mut Throttle, outbox: &Outbox) -> Result<(), End> {
        let options = &self.client.options;
        let limits = LineLimits {
            length: options.max_request_size,
            // Who waits for notifications has no reason to speak.
            idle: options.idle_timeout.filter(|_| !self.subscribed),
            stall: options.stall_timeout,
        };
        let line = self.input.line(limits).await?.ok_or(End::Closed)?;
        let Message::Request(request) = codec::decode(&line.text)? else {
            return Err(End::NotRequest);
        };
        throttle.pass().await;
        if let Some(place) = self.place {
            place.pass().await;
        }
        let answer = self.perform(request).await?;
        outbox.send(&answer.response.into(), line.memory).await?;
        match answer.then {
            Then::Continue => Ok(()),
            Then::Shutdown => {
                self.context.handle.shutdown().await;
                Ok(())
            }
            Then::End(end) => Err(end),
        }
    }

    async fn perform(&mut self, request: Request) -> Result<Answer, End> {
        if let Request::Mount { containers } | Request::Umount { containers } = &request
            && containers.len() > MAX_CONTAINERS
        {
            return Err(End::TooManyContainers(containers.len()));
        }
        if let Some(permission) = permissions::required(&request)
            && !self.client.permissions.contains(permission)
        {
            debug!("{}: has no permission {permission}", self.client.peer);
            return Ok(self.deny(request).await);
        }
        let handle = &self.context.handle;
        let response = match request {
            Request::Install { repository, size } => {
                return Ok(self.install(repository, size).await);
            }
            Request::Shutdown => {
                return Ok(Answer {
                    response: Response::Shutdown,
                    then: Then::Shutdown,
                });
            }
            Request::Ident => Response::Ident(self.ident()?),
            Request::List => Response::List(handle.list().await?),
            Request::Repositories => {
                let repositories = handle.repositories().await?;
                Response::Repositories(repositories.into_iter().map(String::from).collect())
            }
            Request::Inspect { container } => {
                let outcome = handle.inspect(container.clone()).await;
                Response::Inspect(translate::inspect_result(container, outcome))
            }
            Request::Mount { containers } => {
                Response::Mount(translate::results(handle.mount(containers).await))
            }
            Request::Umount { containers } => {
                Response::Umount(translate::results(handle.umount(containers).await))
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
                let outcome = handle.start(container.clone(), overrides).await;
                Response::Start(translate::result(container, outcome))
            }
            Request::Kill { container, signal } => {
                let outcome = handle.kill(container.clone(), signal).await;
                Response::Kill(translate::result(container, outcome))
            }
            Request::Uninstall { container, wipe } => {
                let outcome = handle.uninstall(container.clone(), wipe).await;
                Response::Uninstall(translate::result(container, outcome))
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
            Request::Cancel { .. } | Request::Statistics { .. } => return Err(End::NotRequest),
        };
        Ok(response.into())
    }

    /// Says no. The package of an install comes anyway.
    async fn deny(&mut self, request: Request) -> Answer {
        let options = &self.client.options;
        let then = match &request {
            Request::Install { size, .. } if *size > options.max_npk_install_size => {
                Then::End(End::Oversized { size: *size })
            }
            Request::Install { size, .. } => {
                match install::discard(self.input, *size, options).await {
                    Ok(()) => Then::Continue,
                    Err(error) => Then::End(error.into()),
                }
            }
            _ => Then::Continue,
        };
        let response = Response::PermissionDenied(request);
        Answer { response, then }
    }

    async fn install(&mut self, repository: String, size: u64) -> Answer {
        let options = &self.client.options;
        let limit = options.max_npk_install_size;
        if size > limit {
            let error = format!("a package of {size} bytes is too large (at most {limit} bytes)");
            let error = api::Error::Unexpected { error };
            return Answer {
                response: Response::Install(InstallResult::Error { error }),
                then: Then::End(End::Oversized { size }),
            };
        }
        let slot = match repository.parse::<RepositoryId>() {
            Ok(id) => self
                .context
                .handle
                .install(id, size)
                .await
                .map_err(translate::error),
            Err(_) => Err(api::Error::InvalidRepository { repository }),
        };
        let (outcome, then) = match install::receive(self.input, size, slot, options).await {
            Ok(outcome) => (outcome, Then::Continue),
            Err(broken) => {
                let error = report(&broken);
                (
                    Err(api::Error::Unexpected { error }),
                    Then::End(broken.into()),
                )
            }
        };
        let result = match outcome {
            Ok(container) => InstallResult::Ok { container },
            Err(error) => InstallResult::Error { error },
        };
        let response = Response::Install(result);
        Answer { response, then }
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
