//! How far an install is, on a terminal.

use std::{path::Path, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// Bar with name, bytes, rate and the time that is left.
const TEMPLATE: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// While the daemon checks and writes what it has.
const CHECKING: &str = "{spinner} {msg}: the daemon checks it";

/// A bar on standard error.
#[derive(Clone)]
pub struct Progress {
    bar: ProgressBar,
    name: String,
}

impl Progress {
    /// A bar for a package of `size` bytes.
    pub fn of_package(path: &Path, size: u64) -> Progress {
        let name = path.file_name().unwrap_or(path.as_os_str());
        let name = output::harmless(&name.to_string_lossy()).into_owned();
        let bar = ProgressBar::new(size).with_message(name.clone());
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        Progress { bar, name }
    }

    /// `sent` bytes are sent.
    pub fn set(&self, sent: u64) {
        self.bar.set_position(sent);
        if Some(sent) == self.bar.length() {
            if let Ok(style) = ProgressStyle::with_template(CHECKING) {
                self.bar.set_style(style);
            }
            self.bar.set_message(self.name.clone());
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_good() {
        for template in [TEMPLATE, CHECKING] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
