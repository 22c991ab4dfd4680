//! `start`

use std::collections::BTreeMap;

use clap::Args;
use northstar_api::{Request, Response};

use crate::{
    failure::Failure,
    resolve::{Choice, Target, resolve},
    session::{Session, unexpected},
    verbs::done,
};

/// Start a container.
#[derive(Debug, Args)]
#[command(after_help = "\
The words of COMMAND are, in this order:
  KEY=VALUE...   variables, on top of the manifest's
  INIT           program instead of the manifest's; <INIT> stands for the manifest's
  ARGUMENT...    arguments instead of the manifest's
If the first word that is no variable starts with `-`, or with --init, all of them are arguments.
A COMMAND or an option needs the permission `start_command`.

Examples:
  nstar start hello-world
  nstar start hello-world:0.0.1 -- --verbose
  nstar start hello-world RUST_LOG=debug /bin/sh -c 'exec hello'
  nstar start --env RUST_LOG=debug --init '<INIT>' hello-world --verbose")]
pub struct Start {
    /// Variable on top of the manifest's.
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Program instead of the manifest's; `<INIT>` stands for the manifest's.
    #[arg(short, long, value_name = "PATH")]
    init: Option<String>,
    /// The container, as NAME or NAME:VERSION; NAME alone means the newest installed version.
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
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let container = resolve(session, &self.container, Choice::Newest).await?;
        let Overrides {
            init,
            arguments,
            environment,
        } = self.overrides();
        let request = Request::Start {
            container,
            init,
            arguments,
            environment,
        };
        match session.ask(request).await? {
            Response::Start(result) => {
                let container = done(result)?;
                session.tell(&format!("started {container}"))
            }
            other => Err(unexpected(other)),
        }
    }

    fn overrides(self) -> Overrides {
        let mut environment: BTreeMap<String, String> = self.env.into_iter().collect();
        let mut words = self.command.into_iter().peekable();
        while let Some((key, value)) = words.peek().and_then(|word| as_variable(word)) {
            environment.insert(key, value);
            words.next();
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

/// What is to differ from the manifest.
#[derive(Debug, PartialEq, Eq)]
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
    fn what_the_words_of_a_command_mean() {
        type Variables = &'static [(&'static str, &'static str)];
        let cases: [(&str, Option<&str>, &[&str], Variables); 10] = [
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
