//! `kill`

use std::{fmt, str::FromStr};

use clap::Args;
use nix::sys::signal;
use northstar_api::{Request, Response};

use crate::{
    failure::Failure,
    resolve::{Choice, Target, resolve},
    session::{Session, unexpected},
    verbs::done,
};

/// Send a signal to a container.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nstar kill hello-world
  nstar kill hello-world SIGKILL
  nstar kill hello-world:0.0.1 -9")]
pub struct Kill {
    /// The container, as NAME or NAME:VERSION; NAME alone means the running version, or the newest.
    container: Target,
    /// The signal by number or name, as 9, KILL, SIGKILL, -9 or -KILL.
    #[arg(default_value = "SIGTERM", allow_hyphen_values = true)]
    signal: Signal,
}

/// Number of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub i32);

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
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let container = resolve(session, &self.container, Choice::Running).await?;
        let request = Request::Kill {
            container,
            signal: self.signal.0,
        };
        match session.ask(request).await? {
            Response::Kill(result) => {
                let container = done(result)?;
                session.tell(&format!("sent {} to {container}", self.signal))
            }
            other => Err(unexpected(other)),
        }
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
}
