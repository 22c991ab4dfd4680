//! Output of things that run side by side: whole lines, each with the name of where it comes from.

use std::io::{self, Write};

/// Passes lines on as a whole, with a name in front of each.
#[derive(Debug)]
pub struct Named<W: Write> {
    name: &'static str,
    sink: W,
    line: Vec<u8>,
}

impl<W: Write> Named<W> {
    /// Passes lines on to `sink`.
    pub fn new(name: &'static str, sink: W) -> Self {
        Self {
            name,
            sink,
            line: Vec::new(),
        }
    }

    /// Hands over what is collected, in one call, so that lines of several writers do not mix.
    fn pass(&mut self) -> io::Result<()> {
        let mut whole = format!("{} | ", self.name).into_bytes();
        whole.append(&mut self.line);
        self.sink.write_all(&whole)
    }
}

impl<W: Write> Write for Named<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(line);
            if line.ends_with(b"\n") {
                self.pass()?;
            }
        }
        Ok(bytes.len())
    }

    /// A line that has not ended yet stays: the rest of it may still come.
    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl<W: Write> Drop for Named<W> {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.line.push(b'\n');
            // Whoever cannot be written to any more does not miss it.
            let _ = self.pass();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_whole_and_the_last_one_is_not_lost() {
        let mut output = Vec::new();
        let mut named = Named::new("a", &mut output);
        for piece in ["test x ... ", "ok\n\nte", "st y"] {
            named.write_all(piece.as_bytes()).unwrap();
            named.flush().unwrap();
        }
        drop(named);
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "a | test x ... ok\na | \na | test y\n"
        );
    }
}
