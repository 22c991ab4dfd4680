//! Tables one after the other, for files and pipes.

use std::time::Duration;

use tokio::time;

use super::{
    draw::{cells, headings},
    model::{Model, State},
    sample::Sampler,
};
use crate::{
    failure::Failure,
    output::{
        self, Reader,
        table::{Color, Style, Text, table},
    },
};

/// Prints `updates` tables, with `delay` before each, because the share of a CPU takes two looks.
pub async fn batch(
    sampler: &Sampler<'_>,
    mut model: Model,
    delay: Duration,
    updates: usize,
) -> Result<(), Failure> {
    model.update(sampler.sample().await?);
    for update in 0..updates {
        time::sleep(delay).await;
        model.update(sampler.sample().await?);
        if sampler.session().is_unheard() {
            break;
        }
        if sampler.session().is_json() {
            continue;
        }
        let rows = model.rows().iter().map(|row| {
            let mut texts = cells(row).map(Text::number);
            let [container, state, ..] = &mut texts;
            *container = row.container.to_string().into();
            *state = match row.state {
                State::Running => Text::colored(row.state.as_str(), Color::Green),
                State::Mounted | State::Installed => row.state.as_str().into(),
            };
            texts
        });
        let text = table(headings(), rows.collect(), Style::of_stdout());
        let gap = if update > 0 { "\n" } else { "" };
        if output::print(&format!("{gap}{text}"))? == Reader::Gone {
            break;
        }
    }
    Ok(())
}
