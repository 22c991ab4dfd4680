//! The loop: what comes from the broker and from the daemon, and what follows from it.

mod converge;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::Result;
use northstar_client::{
    Backoff, Happening, Reconnecting,
    api::{Container, Exit, Notification},
};
use serde_json::json;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{
    desired::{Desired, State},
    mqtt::{Broker, Incoming},
    outbox::Outbox,
    position, report,
    retry::Retries,
    stopping::Stopping,
};

/// How often to look whether everything is as it should be, if nothing happens.
const LOOK: Duration = Duration::from_secs(60);

/// Brings the machine into the state that is asked for.
pub struct Agent {
    pub broker: Broker,
    pub incoming: mpsc::Receiver<Incoming>,
    /// What happens. It is read only as long as there is room for it.
    pub events: Reconnecting,
    /// For requests. While events wait for a broker, nothing happens on the other one.
    pub requests: Reconnecting,
    /// Where packages are.
    pub packages: PathBuf,
    /// Where to remember the last event that the broker has.
    pub position: PathBuf,
    pub state: Progress,
}

/// How far the agent is.
pub struct Progress {
    desired: Desired,
    outbox: Outbox,
    retries: Retries,
    stopping: Stopping,
    /// What is wrong, by container.
    failures: BTreeMap<Container, String>,
    /// Whether something has changed since the last look.
    dirty: bool,
    /// When it was looked last. What is due since then has its turn with the next look.
    looked: Instant,
    connected: bool,
    /// There is a broker.
    online: bool,
    reported: Vec<u8>,
}

impl Progress {
    /// `backoff` are the pauses between tries, `grace` is the time of a container between SIGTERM and SIGKILL.
    pub fn new(backoff: Backoff, grace: Duration) -> Progress {
        Progress {
            desired: Desired::default(),
            outbox: Outbox::default(),
            retries: Retries::new(backoff),
            stopping: Stopping::new(grace),
            failures: BTreeMap::new(),
            dirty: false,
            looked: Instant::now(),
            connected: false,
            online: false,
            reported: Vec::new(),
        }
    }
}

impl Agent {
    pub async fn run(mut self) -> Result<()> {
        loop {
            self.publish();
            if self.state.dirty && self.state.connected {
                self.state.dirty = false;
                self.converge().await;
                self.report();
                continue;
            }
            let state = &self.state;
            let looked = state.looked;
            let due = [
                state.retries.next_due(looked),
                state.stopping.next_due(looked),
            ];
            let due = due.into_iter().flatten().min();
            let due = due.unwrap_or(looked + LOOK).min(looked + LOOK);
            tokio::select! {
                Some(incoming) = self.incoming.recv() => self.hear(incoming)?,
                Some(happening) = self.requests.next() => self.connection(happening),
                Some(happening) = self.events.next(), if self.state.outbox.has_room() => {
                    self.follow(happening);
                }
                // Without a daemon there is nothing to look at; with the next connection it is looked at anyway.
                () = sleep_until(due), if self.state.connected => self.state.dirty = true,
            }
        }
    }

    fn hear(&mut self, incoming: Incoming) -> Result<()> {
        let state = &mut self.state;
        match incoming {
            Incoming::Connected => {
                state.outbox.lost();
                state.reported.clear();
                state.online = self.broker.greet().is_ok();
                self.report();
            }
            Incoming::Desired(json) => match Desired::parse(&json) {
                Ok(desired) => {
                    if desired != state.desired {
                        state.retries.forget();
                        state.failures.clear();
                    }
                    state.desired = desired;
                    state.dirty = true;
                }
                Err(error) => {
                    let text = report::text(&error);
                    eprintln!("the desired state is refused: {text}");
                    let event = json!({ "desired_state_refused": text });
                    state.outbox.offer(event.to_string().into_bytes());
                }
            },
            Incoming::Numbered(number) => state.outbox.numbered(number),
            Incoming::Acknowledged(number) => {
                if let Some(position) = state.outbox.acknowledged(number) {
                    position::store(&self.position, &position)?;
                }
            }
            Incoming::Disconnected { error, known } => {
                eprintln!("no broker: {error}");
                state.online = false;
                state.outbox.lost();
                drop(known);
            }
        }
        Ok(())
    }

    fn follow(&mut self, happening: Happening) {
        match happening {
            Happening::Event(event) => {
                self.ended(&event.notification);
                self.event("event", &event.notification);
            }
            Happening::Gap(gap) => {
                eprintln!("{gap}");
                self.event("gap", &gap.to_string());
            }
            // The other connection tells whether there is a daemon.
            _ => return,
        }
        self.state.dirty = true;
    }

    /// Whether the daemon can be asked for something.
    fn connection(&mut self, happening: Happening) {
        let state = &mut self.state;
        match happening {
            Happening::Connected(_) => {
                state.connected = true;
                state.dirty = true;
            }
            Happening::Disconnected(reason) => {
                eprintln!("no daemon: {reason}");
                state.connected = false;
            }
            Happening::Unreachable { error, .. } => {
                eprintln!("no daemon: {error}");
                state.connected = false;
            }
            other => eprintln!("{other:?}"),
        }
    }

    /// A container that should run and has ended is started again, but not at once.
    fn ended(&mut self, notification: &Notification) {
        let Notification::Exit(container, Exit { status, .. }) = notification else {
            return;
        };
        let wanted = self.state.desired.containers.iter();
        let mut wanted = wanted.filter(|wanted| wanted.state == State::Running);
        if wanted.any(|wanted| wanted.container == *container) {
            let pause = self.state.retries.failed(container, Instant::now());
            eprintln!("{container} ended with {status}; next start in {pause:?}");
        }
    }

    /// Puts an event into the outbox, with its number in this run of the daemon.
    fn event(&mut self, kind: &str, what: &impl serde::Serialize) {
        let position = self.events.position().cloned();
        let instance = position.as_ref().map(|position| &position.instance);
        let sequence = position.as_ref().map(|position| position.sequence);
        let event = json!({"instance": instance, "sequence": sequence, kind: what});
        self.state
            .outbox
            .push(event.to_string().into_bytes(), position);
    }

    fn publish(&mut self) {
        if self.state.online
            && let Some(event) = self.state.outbox.send()
            && let Err(error) = self.broker.publish(event)
        {
            eprintln!("cannot publish: {error}");
            self.state.outbox.lost();
        }
    }

    /// Tells the broker how far the machine is, if that has changed.
    fn report(&mut self) {
        let state = &mut self.state;
        let report = report::report(state.desired.revision, &state.failures);
        if state.online && report != state.reported {
            state.reported.clone_from(&report);
            if let Err(error) = self.broker.retain("report", report) {
                eprintln!("cannot report: {error}");
                state.reported.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use northstar_client::{Endpoint, Options};
    use tempfile::TempDir;
    use tokio::time::timeout;

    /// No test waits longer than this for anything.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// An agent without a broker and without a daemon.
    fn agent() -> (Agent, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let url = "mqtt://127.0.0.1:1".parse().unwrap();
        let (broker, incoming) = Broker::new(&url, "a", None).unwrap();
        let none = || Endpoint::Unix(path("none"));
        let reconnecting = |options| Reconnecting::new(none(), options, Backoff::default());
        let agent = Agent {
            broker,
            incoming,
            events: reconnecting(Options::extended().with_notifications(1)),
            requests: reconnecting(Options::extended()),
            packages: path("packages"),
            position: path("position"),
            state: Progress::new(Backoff::default(), Duration::ZERO),
        };
        (agent, directory)
    }

    /// All that waits for the broker.
    fn sent(outbox: &mut Outbox) -> Vec<Vec<u8>> {
        let next = || {
            let event = outbox.send()?;
            outbox.numbered(1);
            outbox.acknowledged(1);
            Some(event)
        };
        std::iter::from_fn(next).collect()
    }

    #[tokio::test]
    async fn a_broker_that_asks_for_nonsense_gets_no_large_and_not_many_answers() {
        let (mut agent, _directory) = agent();
        let nonsense = format!(r#"{{"{}":1}}"#, "x".repeat(100_000));
        for _ in 0..300 {
            let asked = Incoming::Desired(nonsense.clone().into_bytes());
            agent.hear(asked).unwrap();
        }
        let events = sent(&mut agent.state.outbox);
        assert!(
            !events.is_empty() && events.len() <= 256,
            "{}",
            events.len()
        );
        assert!(events.iter().all(|event| event.len() < 1024));
    }

    /// The connection is lost, and the agent has not been told so yet.
    #[tokio::test]
    async fn nobody_waits_for_a_daemon_that_is_gone() {
        let (mut agent, _directory) = agent();
        agent.state.connected = true;
        timeout(PATIENCE, agent.converge()).await.unwrap();
    }
}
