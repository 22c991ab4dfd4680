//! The task that owns a connection.
//!
//! It writes the requests in the order they come, reads everything the server sends (`reading`), and publishes notifications.
//! Reading never waits for writing, so a server that answers an install early cannot make both sides wait for each
//! other.
//!
//! The number of requests under way is bounded by places; one more is for cancellations, which must get through while
//! all others are taken.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use northstar_api::{
    Envelope, Progress, Request,
    codec::{self, CodecError, LineSplitter},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    time,
};
use tokio_util::codec::FramedRead;

use crate::{Answer, Disconnected, install::Body, notifications::Publisher, reading};

/// How long an answer is waited for after writing has failed.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How many bytes of requests are written at once if that many are waiting.
const BATCH: usize = 16 * 1024;

/// A request on its way.
pub(crate) struct Job {
    pub(crate) request: Request,
    pub(crate) id: Option<u64>,
    /// What follows an install request.
    pub(crate) body: Option<Body>,
    pub(crate) answer: oneshot::Sender<Answer>,
    /// For who wants to know how far it is.
    pub(crate) stage: Option<Arc<watch::Sender<Stage>>>,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stage {
    /// The server has all of it, or is about to.
    pub(crate) sent: bool,
    pub(crate) progress: Option<Progress>,
}

/// A request that is sent, at least in part, and has no answer yet.
pub(crate) struct Pending {
    pub(crate) id: Option<u64>,
    pub(crate) answer: oneshot::Sender<Answer>,
    pub(crate) stage: Option<Arc<watch::Sender<Stage>>>,
    /// Of an install: whether it is sent as a whole.
    pub(crate) sent: Option<Arc<AtomicBool>>,
    /// Given back when the answer is there.
    _place: OwnedSemaphorePermit,
}

/// Why a connection ended, as soon as it has.
pub(crate) type Ended = watch::Receiver<Option<Arc<Disconnected>>>;

/// What comes from the callers.
pub(crate) struct Jobs {
    pub(crate) jobs: mpsc::Receiver<Job>,
    /// Cancellations.
    pub(crate) urgent: mpsc::Receiver<Job>,
    /// How many requests may be under way.
    pub(crate) places: usize,
}

/// Runs a connection until one side ends it.
pub(crate) async fn run<R, W>(
    reader: FramedRead<R, LineSplitter>,
    writer: W,
    jobs: Jobs,
    publisher: Publisher,
    ended: watch::Sender<Option<Arc<Disconnected>>>,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    // Bounded by the places.
    let (pending_in, pending_out) = mpsc::unbounded_channel();
    let writing = Writing {
        writer,
        buffer: BytesMut::new(),
        pending: pending_in,
        places: Arc::new(Semaphore::new(jobs.places)),
        jobs: jobs.jobs,
        first: None,
        urgent_place: Arc::new(Semaphore::new(1)),
        urgent: jobs.urgent,
    };
    let mut reading = pin!(reading::run(reader, pending_out, publisher));
    let reason = tokio::select! {
        reason = &mut reading => Some(reason),
        reason = writing.run() => match reason {
            Some(reason @ Disconnected::Write(_)) => Some(last_words(reading, reason).await),
            reason => reason,
        },
    };
    ended.send_replace(reason.map(Arc::new));
}

/// A server that refuses a package and closes makes writing fail, but has said why before.
async fn last_words(
    reading: impl Future<Output = Disconnected>,
    reason: Disconnected,
) -> Disconnected {
    match time::timeout(LAST_WORDS, reading).await {
        Ok(refused @ Disconnected::InstallRefused) => refused,
        _ => reason,
    }
}

/// The half of the task that writes.
struct Writing<W> {
    writer: W,
    buffer: BytesMut,
    pending: mpsc::UnboundedSender<Pending>,
    places: Arc<Semaphore>,
    jobs: mpsc::Receiver<Job>,
    /// Waits for its place.
    first: Option<Job>,
    urgent_place: Arc<Semaphore>,
    urgent: mpsc::Receiver<Job>,
}

/// What has to be done once the bytes of a request are written.
struct Begun {
    stage: Option<Arc<watch::Sender<Stage>>>,
    body: Option<(Body, Arc<AtomicBool>)>,
}

impl<W: AsyncWrite + Unpin> Writing<W> {
    /// Writes requests until there will be none any more (`None`) or the connection ends.
    async fn run(mut self) -> Option<Disconnected> {
        while let Some((job, place)) = self.next().await {
            if let Err(reason) = self.write(job, place).await {
                return Some(reason);
            }
        }
        // Best effort: the server sees the end of the stream either way.
        let _ = self.writer.shutdown().await;
        None
    }

    /// Waits for a request and its place. The request comes first: that there will be none any more has to be noticed also
    /// while there is no place.
    async fn next(&mut self) -> Option<(Job, OwnedSemaphorePermit)> {
        loop {
            tokio::select! {
                biased;
                Some(found) = take(&self.urgent_place, &mut self.urgent) => return Some(found),
                job = self.jobs.recv(), if self.first.is_none() => self.first = Some(job?),
                place = Arc::clone(&self.places).acquire_owned(), if self.first.is_some() => {
                    return Some((self.first.take()?, place.ok()?));
                }
            }
        }
    }

    /// A request that is waiting already, if there is a place for it.
    fn ready(&mut self) -> Option<(Job, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let job = self.first.take().or_else(|| self.jobs.try_recv().ok());
        Some((job?, place))
    }

    /// Writes a request, and those that wait behind it.
    async fn write(&mut self, first: Job, place: OwnedSemaphorePermit) -> Result<(), Disconnected> {
        let mut begun = VecDeque::from([self.begin(first, place)?]);
        let has_body = |begun: &VecDeque<Begun>| begun.back().is_some_and(|it| it.body.is_some());
        while self.buffer.len() < BATCH
            && !has_body(&begun)
            && let Some((job, place)) = self.ready()
        {
            begun.push_back(self.begin(job, place)?);
        }
        self.flush().await?;
        for Begun { stage, body } in begun {
            if let Some((body, sent)) = body {
                self.send(body).await?;
                // The server has every byte only after the last write returned, and the flag is set right then.
                sent.store(true, Ordering::Release);
            }
            if let Some(stage) = stage {
                stage.send_modify(|stage| stage.sent = true);
            }
        }
        Ok(())
    }

    /// Puts the line of a request into the buffer. From now on its answer is expected.
    fn begin(&mut self, job: Job, place: OwnedSemaphorePermit) -> Result<Begun, Disconnected> {
        let envelope = Envelope::new(job.id, job.request);
        codec::encode_envelope(&envelope, &mut self.buffer).map_err(Disconnected::Write)?;
        let body = job.body.map(|body| (body, Arc::<AtomicBool>::default()));
        let pending = Pending {
            id: job.id,
            answer: job.answer,
            stage: job.stage.clone(),
            sent: body.as_ref().map(|(_, sent)| Arc::clone(sent)),
            _place: place,
        };
        self.pending
            .send(pending)
            .map_err(|_| Disconnected::Aborted)?;
        let stage = job.stage;
        Ok(Begun { stage, body })
    }

    async fn flush(&mut self) -> Result<(), Disconnected> {
        let written = async {
            self.writer.write_all(&self.buffer).await?;
            self.writer.flush().await
        };
        let written = written.await;
        self.buffer.clear();
        written.map_err(|error| Disconnected::Write(CodecError::Io(error)))
    }

    async fn send(&mut self, mut body: Body) -> Result<(), Disconnected> {
        while body.missing() > 0 {
            let count = body
                .read(&mut self.buffer)
                .await
                .map_err(Disconnected::Body)?;
            if count == 0 {
                return Err(Disconnected::BodyTooShort {
                    missing: body.missing(),
                });
            }
            self.flush().await?;
            body.advance(count);
        }
        Ok(())
    }
}

async fn take(
    places: &Arc<Semaphore>,
    jobs: &mut mpsc::Receiver<Job>,
) -> Option<(Job, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    Some((jobs.recv().await?, place))
}
