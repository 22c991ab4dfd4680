//! Everything that a container can see and may do, as a JSON document: the name of each check and what was observed.
//!
//! A check never judges. The tests compare the document with what each manifest should give, exactly.

mod call;
mod devices;
mod files;
mod identity;
mod init;
mod kernel;
mod mounts;
mod network;
mod process;
mod terminal;

use std::{collections::BTreeMap, fmt::Display, io};

use nix::errno::Errno;

use crate::{Answer, done};

pub fn run(words: &[&str]) -> Answer {
    match words {
        ["probe"] => probe()?,
        _ => return Ok(None),
    }
    done()
}

fn probe() -> io::Result<()> {
    let mut findings = Findings::default();
    for group in [
        // First, because it counts processes and descriptors: what the others try may leave some for a moment.
        process::probe,
        identity::probe,
        mounts::probe,
        files::probe,
        devices::probe,
        terminal::probe,
        network::probe,
        init::probe,
        kernel::probe,
    ] {
        group(&mut findings)?;
    }
    findings.print();
    Ok(())
}

/// What was observed, by the name of the check.
#[derive(Debug, Default)]
struct Findings(BTreeMap<String, String>);

impl Findings {
    /// Notes what a check observed.
    ///
    /// # Panics
    /// If two checks have one name: one of them would be lost.
    fn note(&mut self, check: impl Display, observed: impl Display) {
        let check = check.to_string();
        let earlier = self.0.insert(check.clone(), observed.to_string());
        assert!(earlier.is_none(), "two checks are called {check}");
    }

    /// Notes whether something worked, or the name of its errno.
    fn attempt<T>(&mut self, check: impl Display, result: Result<T, impl Into<io::Error>>) {
        self.note(check, outcome(result));
    }

    /// One entry a line, because a line of the log has a limit.
    fn print(&self) {
        let entries: Vec<String> = self
            .0
            .iter()
            .map(|(check, observed)| format!("{}: {}", quoted(check), quoted(observed)))
            .collect();
        println!("{{\n{}\n}}", entries.join(",\n"));
    }
}

/// `ok`, or the name of an errno.
fn outcome<T>(result: Result<T, impl Into<io::Error>>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => name(&error.into()),
    }
}

/// The name of an errno.
fn name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => format!("{:?}", Errno::from_raw(errno)),
        None => error.to_string(),
    }
}

/// A JSON string (RFC 8259, section 7).
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control < ' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted + "\""
}
