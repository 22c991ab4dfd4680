//! The progress bar of long work.

use std::io::{self, IsTerminal};
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use northstar_npk::progress::{Progress, Stage};

/// Drawn anew at most so often in a second.
const RATE: u8 = 10;

/// A bar on standard error, if that is a terminal; otherwise nothing is shown.
pub(crate) struct Bar(Option<Mutex<Drawn>>);

struct Drawn {
    bar: ProgressBar,
    stage: Option<Stage>,
}

impl Bar {
    pub(crate) fn new() -> Bar {
        if !io::stderr().is_terminal() {
            return Bar(None);
        }
        let target = ProgressDrawTarget::stderr_with_hz(RATE);
        let bar = ProgressBar::with_draw_target(None, target);
        Bar(Some(Mutex::new(Drawn { bar, stage: None })))
    }

    /// Shows how far the work is.
    pub(crate) fn show(&self, progress: Progress) {
        let Some(drawn) = &self.0 else { return };
        // A thread that panicked leaves nothing behind that the bar depends on.
        let mut drawn = drawn
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if drawn.stage != Some(progress.stage) {
            drawn.stage = Some(progress.stage);
            drawn.bar.set_style(style(progress));
            drawn.bar.set_message(words(progress.stage));
        }
        if progress.total > 0 {
            drawn.bar.set_length(progress.total);
        }
        drawn.bar.set_position(progress.done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(drawn) = &self.0 {
            let drawn = drawn
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            drawn.bar.finish_and_clear();
        }
    }
}

/// Without colours, so that there is nothing to switch off.
fn style(progress: Progress) -> ProgressStyle {
    let template = match (progress.total, progress.stage) {
        (0, Stage::Scan) => "{msg:24} {pos} files",
        (0, _) => "{msg:24} {bytes}",
        _ => "{msg:24} [{bar:30}] {bytes}/{total_bytes}",
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => style.progress_chars("=> "),
        // The templates are right; if not, indicatif's own will do.
        Err(_) => ProgressStyle::default_bar(),
    }
}

fn words(stage: Stage) -> &'static str {
    match stage {
        Stage::Scan => "looking for files",
        Stage::Image => "writing the image",
        Stage::HashTree => "hashing the image",
        Stage::Archive => "writing the package",
        Stage::Check => "checking the package",
        _ => "working",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_right() {
        for (stage, total) in [(Stage::Scan, 0), (Stage::Image, 0), (Stage::Image, 1)] {
            // Were the template wrong, this would be indicatif's own.
            style(Progress {
                stage,
                done: 0,
                total,
            });
        }
        for template in [
            "{msg:24} {pos} files",
            "{msg:24} {bytes}",
            "{msg:24} [{bar:30}] {bytes}/{total_bytes}",
        ] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
