//! `start`

use std::{collections::BTreeMap, process::ExitCode};

use clap::Args;
use clap_complete::ArgValueCompleter;
use northstar_api::{Container, ExitStatus, Request, Response};

use crate::{
    complete,
    failure::Failure,
    resolve::{Purpose, Target, resolve},
    session::{Session, unexpected},
    verbs::{
        Failures, done,
        exits::{Exits, words},
    },
};

/// What a shell adds to the number of the signal that ended a program.
const SIGNALLED: u32 = 128;

/// Start containers.
#[derive(Debug, Args)]
#[command(after_help = "\
The words of COMMAND are, in this order:
  KEY=VALUE...   variables, on top of the manifest's
  INIT           program instead of the manifest's; <INIT> stands for the manifest's
  ARGUMENT...    arguments instead of the manifest's
If the first word that is no variable starts with `-`, or with --init, all of them are arguments:
--init '<INIT>' keeps the program and replaces the arguments.
A COMMAND, --env or --init needs the permission `start_command`.

With --wait nstar prints how the container ended, and ends with its exit code, or with 128 and the
number of the signal that ended it. Of several containers it is the first that is not 0, in the order
in which they end. What goes wrong before has the exit codes of nstar; that the container has run is
told by the line `exit`. Interrupting nstar while it waits does not stop the container.

Examples:
  nstar start hello-world
  nstar start --wait --timeout 1min self-test
  nstar start hello-world:0.0.1 -- --verbose
  nstar start hello-world RUST_LOG=debug /bin/sh -c 'exec hello'
  nstar start --env RUST_LOG=debug --init '<INIT>' hello-world -- --verbose")]
pub struct Start {
    /// Variable on top of the manifest's.
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Program instead of the manifest's; `<INIT>` stands for the manifest's.
    #[arg(short, long, value_name = "PATH")]
    init: Option<String>,
    /// Argument instead of the manifest's, as 0.9.0 takes it.
    #[arg(
        short,
        long,
        hide = true,
        value_name = "ARGUMENT",
        allow_hyphen_values = true,
        conflicts_with = "command"
    )]
    args: Vec<String>,
    /// Wait for the end of the container. Needs the permission `notifications`.
    #[arg(short, long)]
    wait: bool,
    /// The container, as NAME, NAME:VERSION or a pattern; NAME alone means the newest installed version.
    #[arg(add = ArgValueCompleter::new(complete::containers))]
    container: Target,
    /// Variables, program and arguments instead of the manifest's; see below.
    #[arg(trailing_var_arg = true)]
    command: Vec<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("KEY=VALUE is needed".to_owned()),
    }
}

impl Start {
    /// Whether the exit has to be noticed.
    pub fn waits(&self) -> bool {
        self.wait
    }

    pub async fn run(self, session: &Session) -> Result<ExitCode, Failure> {
        let containers = resolve(
            session,
            std::slice::from_ref(&self.container),
            Purpose::Start,
        )
        .await?;
        let mut exits = self.wait.then(|| Exits::new(session.notifications()));
        let overrides = self.overrides();
        let mut failures = Failures::default();
        for container in containers {
            let started = failures.keep(start(session, container, &overrides).await)?;
            if let (Some(exits), Some(container)) = (&mut exits, started) {
                exits.expect_started(container);
            }
        }
        let code = match exits {
            Some(exits) => wait(session, exits).await?,
            None => ExitCode::SUCCESS,
        };
        failures.end().map(|()| code)
    }

    fn overrides(self) -> Overrides {
        let mut environment: BTreeMap<String, String> = self.env.into_iter().collect();
        let mut words = self.command.into_iter().peekable();
        while let Some((key, value)) = words.peek().and_then(|word| as_variable(word)) {
            environment.insert(key, value);
            words.next();
        }
        if !self.args.is_empty() {
            return Overrides {
                init: self.init,
                arguments: self.args,
                environment,
            };
        }
        let is_argument = self.init.is_some() || words.peek().is_some_and(|w| w.starts_with('-'));
        let init = if is_argument { self.init } else { words.next() };
        Overrides {
            init,
            arguments: words.collect(),
            environment,
        }
    }
}

async fn start(
    session: &Session,
    container: Container,
    overrides: &Overrides,
) -> Result<Container, Failure> {
    let Overrides {
        init,
        arguments,
        environment,
    } = overrides.clone();
    let request = Request::Start {
        container,
        init,
        arguments,
        environment,
    };
    match session.work(request).await? {
        Response::Start(result) => {
            let container = done(result)?;
            session.tell(&format!("started {container}"))?;
            Ok(container)
        }
        other => Err(unexpected(other)),
    }
}

/// Tells how the containers end; the exit code is that of the first one that fails.
async fn wait(session: &Session, mut exits: Exits) -> Result<ExitCode, Failure> {
    let mut code = 0;
    while let Some((container, exit)) = exits.next().await? {
        session.tell(&format!("exit {container} {}", words(&exit)))?;
        if code == 0 {
            code = exit_code(exit.status);
        }
    }
    Ok(code.into())
}

/// The exit code that a shell would give.
fn exit_code(status: ExitStatus) -> u8 {
    let code = match status {
        ExitStatus::Exit { code } => u8::try_from(code).ok(),
        ExitStatus::Signalled { signal } => u8::try_from(signal.saturating_add(SIGNALLED)).ok(),
    };
    code.unwrap_or(u8::MAX)
}

/// What is to differ from the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Overrides {
    init: Option<String>,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

/// `KEY=VALUE`, if the key could be one. An argument such as `--level=3` or `/a=b` is none.
fn as_variable(word: &str) -> Option<(String, String)> {
    let (key, value) = word.split_once('=')?;
    let first = key.chars().next()?;
    let is_name = (first.is_ascii_alphabetic() || first == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| (key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Verb};

    fn overrides(line: &str) -> Overrides {
        let words = std::iter::once("nstar").chain(line.split(' '));
        match Cli::try_parse_from(words).unwrap().verb {
            Verb::Start(start) => start.overrides(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        for (status, code) in [
            (ExitStatus::Exit { code: 0 }, 0),
            (ExitStatus::Exit { code: 255 }, 255),
            (ExitStatus::Signalled { signal: 9 }, 137),
            (ExitStatus::Signalled { signal: 64 }, 192),
        ] {
            assert_eq!(exit_code(status), code, "{status}");
        }
    }

    #[test]
    fn what_the_words_of_a_command_mean() {
        type Variables = &'static [(&'static str, &'static str)];
        let cases: [(&str, Option<&str>, &[&str], Variables); 12] = [
            ("start a", None, &[], &[]),
            ("start a A=b", None, &[], &[("A", "b")]),
            (
                "start a A=b B=c=d /x -v",
                Some("/x"),
                &["-v"],
                &[("A", "b"), ("B", "c=d")],
            ),
            ("start a <INIT> -v C=d", Some("<INIT>"), &["-v", "C=d"], &[]),
            ("start a /x", Some("/x"), &[], &[]),
            ("start a -- -v", None, &["-v"], &[]),
            ("start a A=b -v x", None, &["-v", "x"], &[("A", "b")]),
            ("start --init /x a y -z", Some("/x"), &["y", "-z"], &[]),
            (
                "start -e A=b a A=c --level=3",
                None,
                &["--level=3"],
                &[("A", "c")],
            ),
            ("start a /x=y", Some("/x=y"), &[], &[]),
            (
                "start a --args x -a --y --env A=b",
                None,
                &["x", "--y"],
                &[("A", "b")],
            ),
            ("start --init /x -a y a", Some("/x"), &["y"], &[]),
        ];
        for (line, init, arguments, environment) in cases {
            let expected = Overrides {
                init: init.map(str::to_owned),
                arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
                environment: environment
                    .iter()
                    .map(|&(k, v)| (k.to_owned(), v.to_owned()))
                    .collect(),
            };
            assert_eq!(overrides(line), expected, "{line}");
        }
        // An option behind the container is nstar's, not the container's.
        assert!(
            Cli::try_parse_from(["nstar", "start", "a", "--json"])
                .unwrap()
                .json
        );
        let unknown = Cli::try_parse_from(["nstar", "start", "a", "-x"]).unwrap_err();
        assert_eq!(unknown.kind(), clap::error::ErrorKind::UnknownArgument);
    }
}
