//! The live view on a terminal.

use std::{future::pending, io, pin::Pin, time::Duration};

use northstar_api::{Container, Request, Response};
use ratatui::DefaultTerminal;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc::UnboundedReceiver,
    time::{self, MissedTickBehavior},
};

use super::{
    draw::{Surroundings, draw},
    keys::{Key, keys},
    model::Model,
    sample::{Sample, Sampler},
};
use crate::{
    failure::Failure,
    session::unexpected,
    verbs::{done, kill::Signal as Number},
};

/// How the view behaves.
pub struct Options {
    /// Time between two updates.
    pub delay: Duration,
    /// End after this many updates.
    pub updates: Option<usize>,
    /// Whether to ask before a container is stopped or killed.
    pub confirms: bool,
    /// Where the daemon is.
    pub title: String,
}

/// Gives the terminal back as it was, however the view ends. A panic and its message find it restored too,
/// by a hook of ratatui.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows the view until it is ended.
pub async fn live(sampler: &Sampler<'_>, model: Model, options: Options) -> Result<(), Failure> {
    let error = |source| Failure::Terminal { source };
    let ends = Ends::new().map_err(error)?;
    let terminal = ratatui::try_init().map_err(error)?;
    let _restored = Restored;
    let keys = keys().map_err(error)?;
    let view = View {
        sampler,
        model,
        options,
        terminal,
        message: None,
        question: None,
    };
    view.run(keys, ends).await
}

/// Signals that end the program. Waiting for them keeps them from ending it with the terminal in disorder.
struct Ends([Signal; 3]);

impl Ends {
    fn new() -> io::Result<Ends> {
        Ok(Ends([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// A container and the signal that it is to get.
type Victim = (Container, Number);

struct View<'a> {
    sampler: &'a Sampler<'a>,
    model: Model,
    options: Options,
    terminal: DefaultTerminal,
    /// The result of the last action.
    message: Option<String>,
    /// What `y` does.
    question: Option<Victim>,
}

/// Something that is asked of the daemon, while keys are read.
type Pending<'a, T> = Option<Pin<Box<dyn Future<Output = T> + 'a>>>;

async fn finished<T>(pending: &mut Pending<'_, T>) -> T {
    match pending {
        Some(future) => {
            let result = future.await;
            *pending = None;
            result
        }
        None => self::pending().await,
    }
}

impl<'a> View<'a> {
    async fn run(
        mut self,
        mut keys: UnboundedReceiver<Key>,
        mut ends: Ends,
    ) -> Result<(), Failure> {
        let mut ticks = time::interval(self.options.delay.max(Duration::from_millis(1)));
        // A slow daemon is not asked twice at the same time, nor faster afterwards.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let sampler = self.sampler;
        let mut sample: Pending<'a, Result<Sample, Failure>> = None;
        let mut action: Pending<'a, Result<String, Failure>> = None;
        let mut updates = 0_usize;
        self.draw()?;
        loop {
            tokio::select! {
                () = ends.next() => return Ok(()),
                key = keys.recv() => match key {
                    None | Some(Key::Quit) => return Ok(()),
                    Some(key) => {
                        if let Some(victim) = self.press(key) && action.is_none() {
                            action = Some(Box::pin(send(sampler, victim)));
                        }
                    }
                },
                _ = ticks.tick(), if sample.is_none() => {
                    sample = Some(Box::pin(sampler.sample()));
                }
                sample = finished(&mut sample) => {
                    self.model.update(sample?);
                    updates = updates.saturating_add(1);
                }
                result = finished(&mut action) => self.message = Some(match result {
                    Ok(text) => text,
                    Err(failure @ Failure::Refused(_)) => failure.to_string(),
                    Err(failure) => return Err(failure),
                }),
            }
            self.draw()?;
            if Some(updates) == self.options.updates {
                return Ok(());
            }
        }
    }

    /// What a key does here, and what it asks of the daemon.
    fn press(&mut self, key: Key) -> Option<Victim> {
        self.message = None;
        let question = self.question.take();
        match key {
            Key::Yes => return question,
            Key::Move(by) => self.model.select(by),
            Key::Sort(sort) if question.is_none() => self.model.sort_by(sort),
            Key::Stop if question.is_none() => return self.ask(Number::TERM),
            Key::Kill if question.is_none() => return self.ask(Number::KILL),
            Key::Redraw => {
                self.question = question;
                // If that fails, drawing does too, and says so.
                let _ = self.terminal.clear();
            }
            _ => {}
        }
        None
    }

    /// Asks whether the chosen container is to get a signal, or sends it at once if that is wanted.
    fn ask(&mut self, number: Number) -> Option<Victim> {
        let Some(row) = self.model.chosen() else {
            self.message = Some("choose a container with the arrow keys first".to_owned());
            return None;
        };
        let victim = (row.container.clone(), number);
        if !self.options.confirms {
            return Some(victim);
        }
        self.question = Some(victim);
        None
    }

    fn draw(&mut self) -> Result<(), Failure> {
        let question = self
            .question
            .as_ref()
            .map(|(container, number)| format!("send {number} to {container}? y/n"));
        let surroundings = Surroundings {
            title: &self.options.title,
            message: question.as_deref().or(self.message.as_deref()),
        };
        let model = &self.model;
        self.terminal
            .draw(|frame| draw(frame, model, &surroundings))
            .map(drop)
            .map_err(|source| Failure::Terminal { source })
    }
}

async fn send(sampler: &Sampler<'_>, (container, number): Victim) -> Result<String, Failure> {
    let request = Request::Kill {
        container,
        signal: number.0,
    };
    match sampler.session().look_up(request).await? {
        Response::Kill(result) => Ok(format!("sent {number} to {}", done(result)?)),
        other => Err(unexpected(other)),
    }
}
