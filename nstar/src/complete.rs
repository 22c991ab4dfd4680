//! What a shell gets when it completes a command line.
//!
//! The script of `nstar completion` runs nstar with [`VARIABLE`] and the words so far; clap_complete
//! knows the verbs and options, and the names of containers and repositories come from the daemon.

use std::{env, ffi::OsStr, path::PathBuf, time::Duration};

use clap::CommandFactory;
use clap_complete::{CompleteEnv, CompletionCandidate};
use northstar_client::{Client, Endpoint, Options, Tls};
use tokio::{runtime, time};

use crate::cli::Cli;

/// Tells nstar that it is a shell who asks, and which.
pub const VARIABLE: &str = "NSTAR_COMPLETE";

/// Who types does not wait longer than this for names.
const PATIENCE: Duration = Duration::from_secs(1);

/// Ends the program after answering, if it is a shell who asks.
pub fn answer_shell() {
    CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .complete();
}

/// Names of containers; with versions as soon as there is a colon.
pub fn containers(current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let names = ask(async |client| {
        let containers = client.list().await.ok()?;
        Some(containers.iter().map(ToString::to_string).collect())
    });
    let mut names: Vec<String> = names
        .into_iter()
        .map(|container| match container.split_once(':') {
            Some((name, _)) if !current.contains(':') => name.to_owned(),
            _ => container,
        })
        .filter(|name| name.starts_with(&*current))
        .collect();
    names.sort();
    names.dedup();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// Names of repositories.
pub fn repositories(current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    ask(async |client| client.repositories().await.ok())
        .into_iter()
        .filter(|name| name.starts_with(&*current) && is_word(name))
        .map(CompletionCandidate::new)
        .collect()
}

/// Whether a shell takes a name for what it is. Others, which no daemon of ours has, are not put on a command line.
fn is_word(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Asks the daemon of the command line. Without an answer there are no candidates: a shell has no place
/// for errors.
fn ask(question: impl AsyncFnOnce(Client) -> Option<Vec<String>>) -> Vec<String> {
    let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let answer = runtime.block_on(async {
        // Made inside, because a timer needs the runtime.
        time::timeout(PATIENCE, async {
            let options = Options {
                tls: certificates(),
                ..Options::default()
            };
            let client = Client::connect(&endpoint()?, options).await.ok()?;
            question(client).await
        })
        .await
    });
    runtime.shutdown_background();
    answer.ok().flatten().unwrap_or_default()
}

/// The daemon that the words name, or the environment, or the default.
fn endpoint() -> Option<Endpoint> {
    // A word that is no text is no URL either.
    let words = env::args_os().map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = words.collect();
    url_of(&words)
        .or_else(|| env::var("NSTAR_URL").ok())
        .unwrap_or_else(|| "tcp://localhost:4200".to_owned())
        .parse()
        .ok()
}

/// The certificates that the environment names.
fn certificates() -> Option<Tls> {
    let path = |name| env::var_os(name).map(PathBuf::from);
    Some(Tls {
        ca: path("NSTAR_TLS_CA")?,
        cert: path("NSTAR_TLS_CERT")?,
        key: path("NSTAR_TLS_KEY")?,
        server_name: env::var("NSTAR_TLS_NAME").ok(),
    })
}

/// The URL on a command line. Bash breaks words at colons; the pieces are put together again.
fn url_of(words: &[String]) -> Option<String> {
    let mut words = words.iter();
    let mut url = loop {
        let word = words.next()?;
        if word == "--url" || word == "-u" {
            break words.next()?.clone();
        }
        if let Some(url) = word.strip_prefix("--url=") {
            break url.to_owned();
        }
    };
    if url == "=" {
        url = words.next()?.clone();
    }
    for word in words {
        if word != ":" && !url.ends_with(':') {
            break;
        }
        url.push_str(word);
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_takes_for_a_word() {
        for (name, expected) in [
            ("default", true),
            ("a.b_c-1", true),
            ("a b", false),
            ("$(id)", false),
            ("a\nb", false),
            ("a;b", false),
        ] {
            assert_eq!(is_word(name), expected, "{name}");
        }
    }

    #[test]
    fn the_url_of_a_command_line_whole_or_in_pieces() {
        let cases = [
            ("nstar kill a", None),
            ("nstar --url unix:///a kill b", Some("unix:///a")),
            ("nstar -u unix : ///a kill b", Some("unix:///a")),
            ("nstar --url = tcp : //h : 42 kill", Some("tcp://h:42")),
            ("nstar kill --url=unix:///a", Some("unix:///a")),
            ("nstar --url", None),
        ];
        for (line, url) in cases {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(url_of(&words).as_deref(), url, "{line}");
        }
    }
}
