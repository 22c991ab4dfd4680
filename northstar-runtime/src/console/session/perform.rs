//! Requests that may be carried out, each by what answers it.

use super::{Answer, Content, Registered, Session, Then};
use crate::{
    console::{
        output::SendError,
        peer::Peer,
        requests::End,
        token::{Parties, Verification},
        translate::repository,
    },
    supervisor::StartOverrides,
};
use northstar_api::{
    self as api, CancelResult, Name, Request, Response, Token, Unit, VerificationResult,
};
use northstar_manifest::Container;

/// Who a client outside of all containers is.
const EXTERN: &str = "extern:0.0.0";

impl Session<'_> {
    /// Carries out a request that may be carried out. Those with raw bytes are not done here.
    pub(in crate::console) async fn perform(
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
            Request::List => return Ok(self.list().await?.into()),
            Request::Repositories => {
                let repositories = handle.repositories().await?;
                Response::Repositories(repositories.into_iter().map(String::from).collect())
            }
            Request::RepositoryDetails => {
                let repositories = handle.repository_details();
                Response::RepositoryDetails(repositories.iter().map(repository).collect())
            }
            Request::Inspect { container } => return Ok(self.inspect(container).await.into()),
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
                Response::Token(self.create_token(&target, &shared))
            }
            Request::TokenVerify {
                token,
                user,
                shared,
            } => Response::TokenVerification(self.verify_token(&token, &user, &shared)),
            Request::Cancel { id } => Response::Cancel(self.cancel(id).await),
            Request::Install { .. } => return Err(End::NotRequest),
        };
        Ok(response.into())
    }

    async fn list(&self) -> Result<Content, End> {
        let containers = self.context.handle.list().await?;
        let line = self.context.listed.line(containers);
        Ok(Content::Line(line.map_err(SendError::from)?))
    }

    async fn inspect(&self, container: Container) -> Content {
        match self.context.handle.inspect(container.clone()).await {
            Ok(inspection) => Content::Inspected(container, Box::new(inspection)),
            Err(failure) => Response::Inspect(self.words.not_inspected(container, failure)).into(),
        }
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

    /// The creator of a token is whoever asks for it.
    fn create_token(&self, target: &Name, shared: &[u8]) -> Token {
        let parties = Parties {
            creator: self.client.peer.name(),
            target: target.as_ref(),
            shared,
        };
        Token::from(self.context.tokens.create(parties))
    }

    /// The target of a token is whoever verifies it: nobody can do that in another's name.
    fn verify_token(&self, token: &Token, user: &Name, shared: &[u8]) -> VerificationResult {
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
