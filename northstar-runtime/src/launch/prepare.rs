//! Looking things up and planning happen on a thread, because a file system of the host may never answer: a bind
//! source on a network file system whose server is gone, for one.
//!
//! Nothing can interrupt such a thread. It is given up, and what it comes back with, if ever, is dropped there, which
//! undoes it. Until then its container does not start: two preparations of one container would get in each other's
//! way, and many would take up all threads. A start that follows one that was cancelled waits a moment for that.

use super::{Error, Phase, forker::within};
use northstar_manifest::Container;
use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, task::spawn_blocking, time::timeout};
use tokio_util::sync::CancellationToken;

/// How long the preparation of a start may take: a disk may have to spin up.
pub(super) const PREPARE_LIMIT: Duration = Duration::from_secs(10);

/// How long a start waits for the thread of an earlier one that was given up. Most are done in a moment.
const EARLIER_LIMIT: Duration = Duration::from_secs(5);

/// The containers that are being prepared, including those that were given up and whose thread is stuck.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preparing(Arc<State>);

#[derive(Debug, Default)]
struct State {
    containers: Mutex<BTreeSet<Container>>,
    /// One of them is done.
    left: Notify,
}

impl Preparing {
    /// Runs the preparation of a container until it is done, its time is up, or `cancel` fires. The work is told by
    /// its token that nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        container: &Container,
        limit: Duration,
        cancel: &CancellationToken,
        work: impl FnOnce(&CancellationToken) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let earlier = limit.min(EARLIER_LIMIT);
        let place = tokio::select! {
            biased;
            place = timeout(earlier, self.enter(container)) => {
                place.map_err(|_| Error::Unprepared)?
            }
            () = cancel.cancelled() => return Err(Error::Cancelled),
        };
        let given_up = CancellationToken::new();
        let _guard = given_up.clone().drop_guard();
        // In this order a result that nobody takes is undone before the place is free.
        let work = spawn_blocking(move || (work(&given_up), place));
        let result = async {
            let (result, _place) = work.await.map_err(|_| Error::Interrupted)?;
            result
        };
        tokio::select! {
            result = within(Phase::Prepare, limit, result) => result,
            () = cancel.cancelled() => Err(Error::Cancelled),
        }
    }

    /// Waits for the place of a container.
    async fn enter(&self, container: &Container) -> Place {
        loop {
            // From here on nobody leaves unnoticed.
            let mut left = pin!(self.0.left.notified());
            left.as_mut().enable();
            if self.lock().insert(container.clone()) {
                return Place {
                    preparing: self.clone(),
                    container: container.clone(),
                };
            }
            left.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Container>> {
        // Nothing panics while it holds the lock.
        let containers = self.0.containers.lock();
        containers.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one preparation of a container.
#[derive(Debug)]
struct Place {
    preparing: Preparing,
    container: Container,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.preparing.lock().remove(&self.container);
        self.preparing.0.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    const LONG: Duration = Duration::from_secs(60);

    /// What a preparation makes: says when it is dropped.
    #[derive(Debug)]
    struct Made(Sender<&'static str>);

    impl Drop for Made {
        fn drop(&mut self) {
            self.0.send("undone").unwrap();
        }
    }

    fn container() -> Container {
        "a:1.0.0".parse().unwrap()
    }

    /// Work that is stuck until the sender says or drops something, and what happens to its result.
    fn stuck() -> (
        Sender<()>,
        Receiver<&'static str>,
        impl FnOnce(&CancellationToken) -> Result<Made, Error> + Send + 'static,
    ) {
        let (release, wait) = channel::<()>();
        let (tell, told) = channel();
        let work = move |given_up: &CancellationToken| {
            let _ = wait.recv();
            if given_up.is_cancelled() {
                tell.send("given up").unwrap();
            }
            Ok(Made(tell))
        };
        (release, told, work)
    }

    /// As soon as the place is free, another preparation comes through.
    async fn free(preparing: &Preparing) {
        let deadline = std::time::Instant::now() + LONG;
        loop {
            let cancel = CancellationToken::new();
            match preparing.run(&container(), LONG, &cancel, |_| Ok(())).await {
                Err(Error::Unprepared) if std::time::Instant::now() < deadline => {
                    tokio::task::yield_now().await;
                }
                other => return other.unwrap(),
            }
        }
    }

    #[tokio::test]
    async fn stuck_preparation_is_given_up_and_undoes_itself() {
        let preparing = Preparing::default();
        let (release, told, work) = stuck();
        let limit = Duration::from_millis(20);
        let cancel = CancellationToken::new();
        match preparing.run(&container(), limit, &cancel, work).await {
            Err(Error::Timeout {
                phase: Phase::Prepare,
                limit: found,
            }) => assert_eq!(found, limit),
            other => panic!("{other:?}"),
        }
        // The thread is still stuck: this container has to wait, another one has not.
        match preparing
            .run(&container(), limit, &cancel, |_| Ok(()))
            .await
        {
            Err(Error::Unprepared) => {}
            other => panic!("{other:?}"),
        }
        let other = "b:1.0.0".parse().unwrap();
        let result = preparing.run(&other, LONG, &cancel, |_| Ok(7)).await;
        assert_eq!(result.unwrap(), 7);

        drop(release);
        free(&preparing).await;
        assert_eq!(told.try_iter().collect::<Vec<_>>(), ["given up", "undone"]);
    }

    #[tokio::test]
    async fn cancel_does_not_wait_for_the_preparation() {
        let preparing = Preparing::default();
        let (release, told, work) = stuck();
        let cancel = CancellationToken::new();
        cancel.cancel();
        match preparing.run(&container(), LONG, &cancel, work).await {
            Err(Error::Cancelled) => {}
            other => panic!("{other:?}"),
        }
        drop(release);
        free(&preparing).await;
        assert_eq!(told.try_iter().collect::<Vec<_>>(), ["given up", "undone"]);
    }

    #[tokio::test]
    async fn start_after_a_cancelled_one_waits_for_its_thread() {
        let preparing = Preparing::default();
        let (release, told, work) = stuck();
        let cancelled = CancellationToken::new();
        cancelled.cancel();
        let first = preparing.run(&container(), LONG, &cancelled, work).await;
        assert!(matches!(first, Err(Error::Cancelled)), "{first:?}");
        let cancel = CancellationToken::new();
        let second = async {
            let result = preparing.run(&container(), LONG, &cancel, |_| Ok(7)).await;
            result.unwrap()
        };
        let release = async {
            tokio::task::yield_now().await;
            drop(release);
        };
        assert_eq!(tokio::join!(second, release).0, 7);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), ["given up", "undone"]);
        // Nor is it waited for by somebody who does not want to wait any more.
        let (release, _told, work) = stuck();
        let third = preparing.run(&container(), LONG, &cancelled, work).await;
        assert!(matches!(third, Err(Error::Cancelled)), "{third:?}");
        let fourth = preparing
            .run(&container(), LONG, &cancelled, |_| Ok(()))
            .await;
        assert!(matches!(fourth, Err(Error::Cancelled)), "{fourth:?}");
        drop(release);
    }

    #[tokio::test]
    async fn result_in_time_is_handed_over() {
        let preparing = Preparing::default();
        let (release, told, work) = stuck();
        drop(release);
        let cancel = CancellationToken::new();
        let made = preparing.run(&container(), LONG, &cancel, work).await;
        let made = made.unwrap();
        assert!(told.try_iter().next().is_none());
        free(&preparing).await;
        drop(made);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), ["undone"]);
    }
}
