//! `top`

use std::{io, io::IsTerminal, time::Duration};

use clap::Args;
use clap_complete::ArgValueCompleter;

use crate::{
    cli, complete,
    failure::Failure,
    resolve::Target,
    session::Session,
    top::{self, LiveOptions, Model, Sampler, Sort},
};

/// Show live what containers use.
#[derive(Debug, Args)]
#[command(after_help = "\
Keys: q ends the view, the arrow keys choose a container, s stops it (SIGTERM) and k kills it (SIGKILL),
both after a question; n c m p r u order by name, CPU, memory, pids, restarts and uptime, and the
same key again inverts the order. CPU is in percent of one CPU. `-` is what is not known, as without
control groups. Restarts are counted from the start of the daemon.

Without a terminal, or with --batch, a table is printed instead. With --json it is the daemon's answers.

Examples:
  nstar top
  nstar top --sort memory 'app*'
  nstar top --batch --number 10 --delay 5s > usage.txt")]
pub struct Top {
    /// Time between two updates.
    #[arg(short, long, default_value = "1s", value_name = "DURATION", value_parser = cli::duration)]
    delay: Duration,
    /// End after this many updates [default: 1 without a terminal].
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    number: Option<u32>,
    /// What to order by.
    #[arg(short, long, value_enum, default_value_t, value_name = "KEY")]
    sort: Sort,
    /// Print tables, one after the other.
    #[arg(short, long)]
    batch: bool,
    /// Stop and kill without a question.
    #[arg(short, long)]
    yes: bool,
    /// Only these containers, as NAME, NAME:VERSION or a pattern.
    #[arg(value_name = "CONTAINER", add = ArgValueCompleter::new(complete::containers))]
    containers: Vec<Target>,
}

impl Top {
    /// Whether there is a view that goes on until it is ended.
    pub fn is_live(&self, json: bool) -> bool {
        !self.batch && !json && io::stdout().is_terminal() && io::stdin().is_terminal()
    }

    pub async fn run(self, session: &Session, title: String) -> Result<(), Failure> {
        let is_live = self.is_live(session.is_json());
        let updates = self
            .number
            .map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        let sampler = Sampler::new(session, self.containers);
        let model = Model::new(self.sort);
        if is_live {
            let options = LiveOptions {
                delay: self.delay,
                updates,
                confirms: !self.yes,
                title,
            };
            top::live(&sampler, model, options).await
        } else {
            top::batch(&sampler, model, self.delay, updates.unwrap_or(1)).await
        }
    }
}
