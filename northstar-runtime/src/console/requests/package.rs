//! Requests with the raw bytes of a package behind them.

use super::{End, Requests, Running, beside};
use crate::{
    config::RepositoryId,
    console::{
        answers::Held,
        install,
        session::{self, Answer, Registered, Session},
    },
    supervisor::{InstallSlot, report},
};
use futures::FutureExt;
use northstar_api::{self as api, InstallResult, Response, Unit};
use northstar_manifest::Container;
use tokio::io::AsyncRead;

/// Longest name of a repository that is repeated in an answer, in characters.
const LONGEST_ECHO: usize = 256;

impl<'s, R: AsyncRead + Unpin> Requests<'_, 's, R> {
    /// Reads the package now, whatever becomes of it. What comes after its last byte holds up nobody.
    pub(super) async fn install(
        &mut self,
        running: &mut Running<'s>,
        mut registered: Registered,
        refusal: Option<Response>,
        repository: String,
        size: u64,
        held: Held,
    ) -> Result<(), End> {
        let session = self.session;
        let options = &session.client.options;
        let id = registered.id;
        let limit = options.max_npk_install_size;
        if size > limit {
            let response =
                refusal.unwrap_or_else(|| installed(Err(session.words.too_large(size, limit))));
            let answer = Answer::last(response, End::Oversized { size });
            return beside(running, session.answer(id, answer, held)).await;
        }
        // The line may be long, and its package slow.
        drop(held);
        if let Some(response) = refusal {
            let response = session::shortened(response, LONGEST_ECHO);
            let discarded = install::discard(self.input, size, options);
            beside(running, async { Ok(discarded.await?) }).await?;
            let answer = session.answer(id, response.into(), Held::default());
            return beside(running, answer).await;
        }
        let slot = slot(session, &registered, &repository, size).await;
        let received = install::receive(self.input, size, slot, options, session.words);
        let received = session.follow(&mut registered, Unit::Bytes, received);
        match beside(running, async { Ok(received.await?) }).await? {
            Ok(slot) => {
                let work = finish(session, registered, slot);
                self.begin(running, id, work.boxed()).await
            }
            Err(broken) => {
                let error = session.words.not_received(&repository, report(&broken));
                let answer = Answer::last(installed(Err(error)), broken.into());
                beside(running, session.answer(id, answer, Held::default())).await
            }
        }
    }
}

/// Where the bytes of a package go, or why they go nowhere.
async fn slot(
    session: &Session<'_>,
    registered: &Registered,
    repository: &str,
    size: u64,
) -> Result<InstallSlot, api::Error> {
    let Ok(repository) = repository.parse::<RepositoryId>() else {
        return Err(api::Error::InvalidRepository {
            repository: repository.chars().take(LONGEST_ECHO).collect(),
        });
    };
    let handle = &session.context.handle;
    let slot = handle.install(repository, size, registered.job.clone());
    slot.await.map_err(|error| session.words.error(error))
}

/// What is left to do of an install after the last byte, and its answer.
async fn finish(
    session: &Session<'_>,
    mut registered: Registered,
    slot: Result<InstallSlot, api::Error>,
) -> Result<(), End> {
    let id = registered.id;
    let outcome = match slot {
        Ok(slot) => {
            let finished = slot.finish();
            let finished = session
                .follow(&mut registered, Unit::Bytes, finished)
                .await?;
            finished.map_err(|error| session.words.error(error))
        }
        Err(error) => Err(error),
    };
    let answer = installed(outcome).into();
    session.answer(id, answer, Held::default()).await
}

fn installed(outcome: Result<Container, api::Error>) -> Response {
    Response::Install(match outcome {
        Ok(container) => InstallResult::Ok { container },
        Err(error) => InstallResult::Error { error },
    })
}
