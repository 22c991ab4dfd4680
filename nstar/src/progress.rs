//! How far an install or several containers are, on a terminal.

use std::{
    io::{self, IsTerminal},
    path::Path,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// Bar with name, bytes, rate and the time that is left.
const TEMPLATE: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// While the daemon checks and writes what it has.
const CHECKING: &str = "{spinner} {msg}: the daemon checks it";

/// Bar with what is done of several containers.
const CONTAINERS: &str = "{wide_bar} {pos}/{len}";

/// What a bar is drawn with in ASCII: done, the end of it, to do.
const BAR: &str = "=> ";

/// The same for what turns. The last one is shown when it is done.
const SPINNER: &str = "|/-\\ ";

/// A bar on standard error, if that is a terminal.
#[derive(Clone)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Nothing to see.
    pub fn hidden() -> Progress {
        let bar = ProgressBar::hidden();
        Progress { bar }
    }

    /// A bar for a package of `size` bytes.
    pub fn of_package(path: &Path, size: u64) -> Progress {
        if !io::stderr().is_terminal() {
            return Progress::hidden();
        }
        let name = path.file_name().unwrap_or(path.as_os_str());
        let name = output::harmless(&name.to_string_lossy()).into_owned();
        let bar = ProgressBar::new(size).with_message(name);
        styled(&bar, TEMPLATE);
        Progress { bar }
    }

    /// A bar for containers, of which the daemon tells how many there are.
    pub fn of_containers() -> Progress {
        if !io::stderr().is_terminal() {
            return Progress::hidden();
        }
        let bar = ProgressBar::new(0);
        styled(&bar, CONTAINERS);
        Progress { bar }
    }

    /// So many bytes are where they belong.
    pub fn set(&self, bytes: u64) {
        self.bar.set_position(bytes);
        if Some(bytes) == self.bar.length() {
            styled(&self.bar, CHECKING);
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    /// `done` of `total` containers are done. One alone has no bar.
    pub fn set_of(&self, done: u64, total: u64) {
        if total > 1 {
            self.bar.set_length(total);
            self.bar.set_position(done);
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn styled(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(match output::has_utf8() {
            true => style,
            false => style.progress_chars(BAR).tick_chars(SPINNER),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_good() {
        for template in [TEMPLATE, CHECKING, CONTAINERS] {
            let style = ProgressStyle::with_template(template).unwrap();
            // They panic if there are too few.
            let _ = style.progress_chars(BAR).tick_chars(SPINNER);
        }
    }
}
