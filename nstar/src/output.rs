//! Writing to the terminal or the pipe behind it.

use std::{
    error::Error,
    io::{self, ErrorKind, IsTerminal, Write},
};

use crate::failure::Failure;

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

/// Tells an error and its causes on standard error.
pub fn complain(error: &dyn Error) {
    let mut text = format!("nstar: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    // There is nobody left to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Tells something on standard error that is no error of nstar.
pub fn remark(text: &str) {
    let _ = writeln!(io::stderr(), "nstar: {text}");
}

/// Shows how far something is, on a terminal only.
pub fn progress(done: u64, total: u64) {
    let mut stderr = io::stderr();
    if !stderr.is_terminal() || total == 0 {
        return;
    }
    let percent = u128::from(done).saturating_mul(100) / u128::from(total);
    let end = if done >= total { "\n" } else { "" };
    let _ = write!(stderr, "\r{percent:3}% of {total} bytes{end}");
    let _ = stderr.flush();
}

/// Rows of cells as aligned columns without trailing blanks.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["NAME", "STATE"], ["a-long-name", "é"], ["b", ""]];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "NAME         STATE\na-long-name  é\nb");
    }
}
