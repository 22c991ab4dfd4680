//! Where results go: standard output, to which nobody may be listening any more.

use std::fmt::{self, Display};
use std::io::{self, BufWriter, Stdout, Write};

use anyhow::Context;

/// Standard output. Once its reader is gone, the rest is silently dropped: a reader that has seen
/// enough, as `head` has, is no failure.
pub(crate) struct Output {
    stdout: BufWriter<Stdout>,
    closed: bool,
}

impl Output {
    pub(crate) fn new() -> Output {
        Output {
            stdout: BufWriter::new(io::stdout()),
            closed: false,
        }
    }

    /// Prints one line.
    pub(crate) fn line(&mut self, line: impl Display) -> anyhow::Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = writeln!(self.stdout, "{line}");
        self.check(written)
    }

    /// Hands out what is buffered.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        if self.closed {
            return Ok(());
        }
        let flushed = self.stdout.flush();
        self.check(flushed)
    }

    fn check(&mut self, result: io::Result<()>) -> anyhow::Result<()> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            result => result.context("failed to write to standard output"),
        }
    }
}

/// Text of a package that may hold anything, in a form that does nothing to a terminal.
pub(crate) struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.to_string().chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

/// Prints an error with its causes on standard error.
pub(crate) fn report(error: &anyhow::Error) {
    // Nothing is left to be done if this cannot be written either.
    let _ = writeln!(io::stderr(), "error: {}", Escaped(format!("{error:#}")));
}

/// Prints a warning on standard error.
pub(crate) fn warn(warning: &impl Display) {
    let _ = writeln!(io::stderr(), "warning: {}", Escaped(warning));
}
