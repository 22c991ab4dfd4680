//! Where results go: standard output, to which nobody may be listening any more.

use std::fmt::{self, Display};
use std::io::{self, BufWriter, Stdout, Write};
use std::process::ExitCode;

use anyhow::Context;

/// Standard output. Once its reader is gone, the rest is silently dropped: a reader that has seen
/// enough, as `head` has, is no failure.
#[derive(Debug)]
pub struct Output {
    stdout: BufWriter<Stdout>,
    closed: bool,
}

impl Default for Output {
    fn default() -> Output {
        Output::new()
    }
}

impl Output {
    /// The standard output of this process.
    #[must_use]
    pub fn new() -> Output {
        Output {
            stdout: BufWriter::new(io::stdout()),
            closed: false,
        }
    }

    /// Prints one line.
    ///
    /// # Errors
    ///
    /// Standard output cannot be written, for another reason than that its reader is gone.
    pub fn line(&mut self, line: impl Display) -> anyhow::Result<()> {
        self.write(|stdout| writeln!(stdout, "{line}"))
    }

    /// Prints bytes as they are.
    ///
    /// # Errors
    ///
    /// As [`Output::line`].
    pub fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.write(|stdout| stdout.write_all(bytes))
    }

    /// Hands out what is buffered, reports the error of `result`, and says how to exit.
    pub fn exit(mut self, result: anyhow::Result<()>) -> ExitCode {
        // What was found out before an error is shown before it.
        let finished = self.write(Write::flush);
        match result.and(finished) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                report(&error);
                ExitCode::FAILURE
            }
        }
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut BufWriter<Stdout>) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        if self.closed {
            return Ok(());
        }
        match write(&mut self.stdout) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            result => result.context("failed to write to standard output"),
        }
    }
}

/// Text of a package that may hold anything, in a form that does nothing to a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.to_string().chars() {
            if character.is_control() || is_direction(character) {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

/// Whether a character changes in which order a terminal shows others: a name may seem to be another one
/// with it (<https://www.unicode.org/reports/tr9/>, 2).
fn is_direction(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// An error with its causes, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Prints an error with its causes on standard error.
pub fn report(error: &anyhow::Error) {
    // Nothing is left to be done if this cannot be written either.
    let _ = writeln!(io::stderr(), "error: {}", Escaped(format!("{error:#}")));
}

/// Prints a warning on standard error.
pub fn warn(warning: &impl Display) {
    let _ = writeln!(io::stderr(), "warning: {}", Escaped(warning));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_does_nothing_to_a_terminal() {
        for (text, shown) in [
            ("a b/ä", "a b/ä"),
            ("a\x1b[2J\nb", "a\\u{1b}[2J\\nb"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("a\u{202e}gpj.sh", "a\\u{202e}gpj.sh"),
            ("\u{2066}\u{200f}", "\\u{2066}\\u{200f}"),
        ] {
            assert_eq!(Escaped(text).to_string(), shown);
        }
    }
}
