//! The records between host and guest: a kind, a length, that many bytes.
//!
//! One port carries everything, so that the status can never overtake the output. The guest says
//! [`Record::Ready`], gets a [`Request`], sends output as it appears and the exit code last; the host
//! then confirms with [`Record::Done`], because a guest that powers off does not wait for its ports.

use std::{
    env,
    ffi::OsString,
    io::{self, Read, Write},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::workspace::is_of_package;

/// Name of the serial port in the guest.
pub const PORT: &str = "org.northstar.agent";

/// The guest's folder whose files are brought out of it.
pub const OUT: &str = "/run/northstar-vm/exchange/out";

/// More than any record needs; a longer one means that the stream is out of step.
const MAX_LEN: usize = 1 << 20;

/// Variables that are carried into the guest, by name or by the beginning of the name.
const CARRIED: &[&str] = &["PATH", "HOME", "USER", "TERM", "LANG", "CC"];
const CARRIED_PREFIXES: &[&str] = &["CARGO", "RUST", "NORTHSTAR_", "LC_"];

/// Variables that say something about the guest.
const GUEST_VARIABLES: &[(&str, &str)] = &[
    // There is no network beyond the loopback interface.
    ("CARGO_NET_OFFLINE", "true"),
    // Receives the files that are to outlive the guest.
    ("NORTHSTAR_VM_OUT", OUT),
    // A plain tmpfs: the root is an overlay, whose files change identity when first written.
    ("TMPDIR", "/run/tmp"),
];

/// What to run in the guest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Working directory.
    pub directory: PathBuf,
}

impl Request {
    /// The command with the environment and the working directory of this process.
    ///
    /// # Errors
    /// The working directory has been removed.
    pub fn here(command: Vec<OsString>) -> Result<Self> {
        let carried = |name: &OsString| {
            name.to_str().is_some_and(|name| {
                !is_of_package(name)
                    && (CARRIED.contains(&name)
                        || CARRIED_PREFIXES.iter().any(|p| name.starts_with(p)))
            })
        };
        let mut environment: Vec<_> = env::vars_os().filter(|(name, _)| carried(name)).collect();
        // The command is root in there, whoever it is out here.
        for (_, path) in environment.iter_mut().filter(|(name, _)| name == "PATH") {
            path.push(":/usr/sbin:/sbin");
        }
        for (name, value) in GUEST_VARIABLES {
            environment.push((name.into(), value.into()));
        }
        let directory = env::current_dir().context("cannot find the working directory")?;
        Ok(Self {
            command,
            environment,
            directory,
        })
    }

    /// The same for a prepared command, with its working directory if it has one.
    ///
    /// # Errors
    /// As for [`Request::here`].
    pub fn of(command: &Command) -> Result<Self> {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let mut request = Self::here(words.map(OsString::from).collect())?;
        if let Some(directory) = command.get_current_dir() {
            request.directory = directory.to_owned();
        }
        Ok(request)
    }

    /// Sets a variable of the environment.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.into(), value.into()));
    }
}

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub enum Record {
    /// Guest: the agent runs.
    Ready,
    /// Host: what to run, a [`Request`] in JSON.
    Run(Vec<u8>),
    /// Guest: the command wrote this to stdout.
    Stdout(Vec<u8>),
    /// Guest: the command wrote this to stderr.
    Stderr(Vec<u8>),
    /// Guest: the command has ended with this code and wrote nothing after.
    Exit(i32),
    /// Host: everything has arrived.
    Done,
}

impl Record {
    /// Writes the record and flushes.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, writer: &mut impl Write) -> io::Result<()> {
        let code;
        let (kind, payload): (u8, &[u8]) = match self {
            Self::Ready => (0, &[]),
            Self::Run(request) => (1, request),
            Self::Stdout(bytes) => (2, bytes),
            Self::Stderr(bytes) => (3, bytes),
            Self::Exit(value) => {
                code = value.to_le_bytes();
                (4, &code)
            }
            Self::Done => (5, &[]),
        };
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(payload.len().saturating_add(5));
        bytes.push(kind);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(payload);
        writer.write_all(&bytes)?;
        writer.flush()
    }

    /// Reads one record.
    ///
    /// # Errors
    /// Those of the reader; `UnexpectedEof` at the end of the stream; `InvalidData` for anything
    /// that is no record.
    pub fn read(reader: &mut impl Read) -> io::Result<Self> {
        let mut kind = [0; 1];
        reader.read_exact(&mut kind)?;
        let mut length = [0; 4];
        reader.read_exact(&mut length)?;
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_LEN {
            return Err(invalid("record too long"));
        }
        let mut payload = vec![0; length];
        reader.read_exact(&mut payload)?;
        match (kind, payload) {
            ([0], _) => Ok(Self::Ready),
            ([1], payload) => Ok(Self::Run(payload)),
            ([2], payload) => Ok(Self::Stdout(payload)),
            ([3], payload) => Ok(Self::Stderr(payload)),
            ([4], payload) => payload
                .try_into()
                .map(|code| Self::Exit(i32::from_le_bytes(code)))
                .map_err(|_| invalid("exit code of the wrong size")),
            ([5], _) => Ok(Self::Done),
            _ => Err(invalid("unknown kind of record")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_the_way() {
        let records = [
            Record::Ready,
            Record::Run(b"{}".to_vec()),
            Record::Stdout(vec![0, 255, 10]),
            Record::Stderr(Vec::new()),
            Record::Exit(-7),
            Record::Done,
        ];
        let mut bytes = Vec::new();
        for record in &records {
            record.write(&mut bytes).unwrap();
        }
        let mut reader = bytes.as_slice();
        for record in &records {
            assert_eq!(&Record::read(&mut reader).unwrap(), record);
        }
        assert_eq!(
            Record::read(&mut reader).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

    #[test]
    fn noise_is_no_record() {
        for noise in [
            &[9, 0, 0, 0, 0][..],
            &[2, 255, 255, 255, 255],
            &[4, 1, 0, 0, 0, 7],
        ] {
            let error = Record::read(&mut &noise[..]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
