//! Looking things up and planning happen on a thread, because a file system of the host may never answer: a bind
//! source on a network file system whose server is gone, for one.
//!
//! Nothing can interrupt such a thread. It is given up, and what it comes back with, if ever, is dropped there, which
//! undoes it. Until then its container does not start: two preparations of one container would get in each other's
//! way, and many would take up all threads.

use super::{Error, Phase, forker::within};
use northstar_manifest::Container;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

/// How long the preparation of a start may take: a disk may have to spin up.
pub(super) const PREPARE_LIMIT: Duration = Duration::from_secs(10);

/// The containers that are being prepared, including those that were given up and whose thread is stuck.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preparing(Arc<Mutex<BTreeSet<Container>>>);

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
        let place = self.enter(container)?;
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

    fn enter(&self, container: &Container) -> Result<Place, Error> {
        if self.lock().insert(container.clone()) {
            Ok(Place {
                preparing: self.clone(),
                container: container.clone(),
            })
        } else {
            Err(Error::Unprepared)
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Container>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        match preparing.run(&container(), LONG, &cancel, |_| Ok(())).await {
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
