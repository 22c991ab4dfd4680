//! Writing to the terminal or the pipe behind it.

use std::{
    env,
    error::Error,
    io::{self, ErrorKind, IsTerminal, Write},
    sync::OnceLock,
};

use clap::ValueEnum;

use crate::failure::Failure;

pub mod table;

/// When there is colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

static COLOR: OnceLock<Color> = OnceLock::new();

/// Says once, before anything is written, when there is colour.
pub fn set_color(color: Color) {
    // A second call would change nothing.
    let _ = COLOR.set(color);
}

impl Color {
    fn is_on(self, is_terminal: bool) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org: set and not empty.
            Color::Auto => {
                is_terminal
                    && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        }
    }
}

fn color() -> Color {
    COLOR.get().copied().unwrap_or_default()
}

/// Whether standard output has colour.
pub fn has_color() -> bool {
    color().is_on(io::stdout().is_terminal())
}

/// Columns of the terminal behind standard output, if there is one.
pub fn width() -> Option<u16> {
    let stdout = io::stdout();
    let size = stdout
        .is_terminal()
        .then(|| rustix::termios::tcgetwinsize(&stdout).ok())??;
    // A serial line does not know.
    (size.ws_col > 0).then_some(size.ws_col)
}

/// Whether anyone reads what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    Listening,
    /// The other end of the pipe is closed; that is how `nstar notifications | head -1` ends.
    Gone,
}

/// Writes lines to standard output at once.
pub fn print(text: &str) -> Result<Reader, Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::Listening),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(source) => Err(Failure::Output { source }),
    }
}

/// Tells a failure, its causes and what to try next on standard error.
pub fn complain(failure: &Failure) {
    let bold_red = if color().is_on(io::stderr().is_terminal()) {
        ("\x1b[1;31m", "\x1b[0m")
    } else {
        ("", "")
    };
    let mut text = format!("{}nstar:{} {failure}", bold_red.0, bold_red.1);
    let mut cause = failure.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if let Some(hint) = failure.hint() {
        text.push_str("\nhint: ");
        text.push_str(&hint);
    }
    // There is nobody left to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Tells something on standard error that is no failure of nstar.
pub fn remark(text: &str) {
    let _ = writeln!(io::stderr(), "nstar: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_unless_asked_for() {
        assert!(Color::Always.is_on(false));
        assert!(!Color::Never.is_on(true));
        assert!(!Color::Auto.is_on(false));
    }
}
