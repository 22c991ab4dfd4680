//! `kill`

use std::{fmt, str::FromStr};

use clap::Args;
use clap_complete::ArgValueCompleter;
use nix::sys::signal;
use northstar_api::{Container, Request, Response};

use crate::{
    complete,
    failure::Failure,
    resolve::{Purpose, Target, resolve},
    session::{Session, unexpected},
    verbs::{Failures, done},
};

/// Send a signal to containers, and do not wait.
#[derive(Debug, Args)]
#[command(after_help = "\
The signal may stand before or behind the container, with or without a dash, or be an option as that of
kill(1). `nstar stop` waits for the end.

Examples:
  nstar kill hello-world
  nstar kill -9 hello-world
  nstar kill hello-world:0.0.1 SIGUSR1
  nstar kill --signal HUP hello-world
  nstar kill -HUP 'app*'")]
pub struct Kill {
    /// The container, as NAME, NAME:VERSION or a pattern; NAME alone means the running version, or the
    /// newest.
    #[arg(allow_hyphen_values = true, add = ArgValueCompleter::new(complete::containers))]
    container: String,
    /// The signal by number or name, as 9, KILL, SIGKILL, -9 or -KILL; SIGTERM if omitted.
    #[arg(allow_hyphen_values = true, add = ArgValueCompleter::new(complete::containers))]
    signal: Option<String>,
    /// The signal, by number or name.
    #[arg(
        id = "option",
        short = 's',
        long = "signal",
        value_name = "SIGNAL",
        conflicts_with = "signal"
    )]
    option: Option<Signal>,
}

/// Number of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub i32);

impl Signal {
    /// Asks a process to end.
    pub const TERM: Signal = Signal(nix::libc::SIGTERM);
    /// Ends a process.
    pub const KILL: Signal = Signal(nix::libc::SIGKILL);
}

impl FromStr for Signal {
    type Err = String;

    // The error is what clap prints behind "invalid value".
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The dash that kill(1) has before a signal.
        let text = text.strip_prefix('-').unwrap_or(text);
        // Whether the number exists is the daemon's to say: real-time signals are many.
        if let Ok(number) = text.parse::<u16>() {
            return Ok(Signal(number.into()));
        }
        let name = text.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        signal::Signal::from_str(&format!("SIG{name}"))
            .map(|signal| Signal(signal as i32))
            .map_err(|_| "a number or a name such as TERM, KILL or SIGUSR1 is needed".to_owned())
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match signal::Signal::try_from(self.0) {
            Ok(signal) => write!(f, "signal {} ({signal})", self.0),
            Err(_) => write!(f, "signal {}", self.0),
        }
    }
}

impl Kill {
    /// The container and the signal, in whatever order they are written; or what is wrong.
    pub fn read(&self) -> Result<(Target, Signal), String> {
        let Kill {
            container,
            signal,
            option,
        } = self;
        let (container, signal) = match signal {
            Some(second) if container.starts_with('-') => (second, Some(container)),
            second => (container, second.as_ref()),
        };
        if container.starts_with('-') {
            return Err(match container.parse::<Signal>() {
                Ok(_) => format!("a container is needed behind {container}"),
                Err(_) => format!("`{container}` is neither an option nor a signal"),
            });
        }
        let target = container
            .parse()
            .map_err(|error: String| format!("invalid container `{container}`: {error}"))?;
        let signal = match signal {
            None => option.unwrap_or(Signal::TERM),
            Some(signal) => signal
                .parse()
                .map_err(|error: String| format!("invalid signal `{signal}`: {error}"))?,
        };
        Ok((target, signal))
    }

    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        // The command line has been checked before there was a connection.
        let Ok((target, signal)) = self.read() else {
            return Ok(());
        };
        let mut failures = Failures::default();
        for container in resolve(session, &[target], Purpose::Kill).await? {
            failures.keep(kill(session, container, signal).await)?;
        }
        failures.end()
    }
}

async fn kill(session: &Session, container: Container, signal: Signal) -> Result<(), Failure> {
    let request = Request::Kill {
        container,
        signal: signal.0,
    };
    match session.ask(request).await? {
        Response::Kill(result) => {
            let container = done(result)?;
            session.tell(&format!("sent {signal} to {container}"))
        }
        other => Err(unexpected(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_number_and_name() {
        let cases = [
            ("15", 15),
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigkill", 9),
            ("usr1", 10),
            ("34", 34),
            ("-9", 9),
            ("-kill", 9),
            ("-SIGTERM", 15),
        ];
        for (text, number) in cases {
            assert_eq!(text.parse::<Signal>(), Ok(Signal(number)), "{text}");
        }
        for text in ["", "SIG", "SIGNOTHING", "9.5", "-", "--9", "--KILL"] {
            assert!(matches!(text.parse::<Signal>(), Err(message) if message.contains("TERM")));
        }
        assert_eq!(Signal(9).to_string(), "signal 9 (SIGKILL)");
        assert_eq!(Signal(40).to_string(), "signal 40");
    }

    #[test]
    fn container_and_signal_in_any_order() {
        let read = |container: &str, signal: Option<&str>| {
            let kill = Kill {
                container: container.to_owned(),
                signal: signal.map(str::to_owned),
                option: None,
            };
            kill.read()
                .map(|(target, signal)| (target.to_string(), signal.0))
        };
        let a = |signal| Ok(("a".to_owned(), signal));
        assert_eq!(read("a", None), a(15));
        assert_eq!(read("-9", Some("a")), a(9));
        assert_eq!(read("a", Some("-9")), a(9));
        assert_eq!(read("-TERM", Some("a")), a(15));
        assert_eq!(read("a", Some("kill")), a(9));
        for (first, second) in [
            ("-9", None),
            ("-9", Some("-9")),
            ("--all", None),
            ("--all", Some("a")),
            ("a/b", None),
            ("a", Some("b")),
        ] {
            assert!(
                matches!(read(first, second), Err(message) if !message.is_empty()),
                "{first} {second:?}"
            );
        }
    }
}
