//! What can be written on the command line.

use std::{error::Error, path::PathBuf, time::Duration};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint, error::ErrorKind};
use northstar_client::{Endpoint, InvalidEndpoint, Tls};

use crate::{
    output::Color,
    verbs::{
        completion::Completion, inspect::Inspect, install::Install, kill::Kill, mount::Mount,
        notifications::Notifications, seccomp::Seccomp, start::Start, stop::Stop, token::Token,
        top::Top, umount::Umount, uninstall::Uninstall, verify_token::VerifyToken,
    },
};

const AFTER_HELP: &str = "\
Containers:
  A CONTAINER is written NAME:VERSION, or NAME alone. NAME means
    for start and mount      the newest installed version
    for stop, kill, inspect  the running version, or the newest
    for umount               the mounted version, or the newest
    for uninstall            the only installed version
  or as a pattern with * ? [..] for names, or for NAME:VERSION if there is a colon in it (quote
  it, or the shell takes it for files). A pattern takes what the verb can work on:
    start            stopped ones, the newest version of each name
    mount            ones that are not mounted, the newest version of each name
    umount           mounted ones that do not run
    stop, kill       running ones
    inspect, uninstall  all that are installed, every version
  It is an error if there are none.

Exit codes:
  0  done
  1  the request was refused or failed
  2  the command line is wrong, or a name means several things
  3  no connection, or it was lost
  4  permission denied
  5  there is no such container
  6  it took longer than --timeout
  7  the package was refused
  8  running, not running, mounted, in use or installed already
  130  interrupted
  `start --wait` ends with the exit code of the container instead, once it has run.

Examples:
  nstar list
  nstar start hello-world
  nstar start hello-world:0.0.1 RUST_LOG=debug '<INIT>' --verbose
  nstar stop 'hello-*'
  nstar kill -9 hello-world
  nstar --url unix:///run/northstar.sock install hello.npk
  nstar --url tls://ecu:4200 --tls-ca ca.pem --tls-cert me.pem --tls-key me.key list
  nstar --json inspect hello-world";

/// The heading of what every verb takes, apart from what only one does.
const COMMON: &str = "Common options";

/// Operate a Northstar daemon: install, mount, start, watch and stop containers.
#[derive(Debug, Parser)]
#[command(name = "nstar", version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub struct Cli {
    /// Where the daemon is: tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH.
    #[arg(
        short,
        long,
        global = true,
        help_heading = COMMON,
        env = "NSTAR_URL",
        hide_env_values = true,
        default_value = "tcp://localhost:4200",
        value_name = "URL",
        value_parser = endpoint
    )]
    pub url: Endpoint,

    /// How long all of it may take, such as 500ms, 5s, 1min, or 5 for seconds: connection, requests and
    /// waiting. `notifications` and `top` end by then as if they were interrupted. Without it 10s for
    /// the connection, and any time for the rest.
    #[arg(
        short,
        long,
        global = true,
        help_heading = COMMON,
        value_name = "DURATION",
        value_parser = duration
    )]
    pub timeout: Option<Duration>,

    /// Print the JSON of each answer as it came, one line each. What nstar looks up on its own is not
    /// printed.
    #[arg(short, long, global = true, help_heading = COMMON)]
    pub json: bool,

    /// When there is colour; `auto` is on a terminal, unless NO_COLOR is set.
    #[arg(
        long,
        global = true,
        help_heading = COMMON,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    pub color: Color,

    /// Certificates for tls://.
    #[command(flatten)]
    pub tls: TlsFiles,

    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Certificates for tls://.
#[derive(Debug, Args)]
pub struct TlsFiles {
    /// For tls://: the authorities that sign the daemon's certificate (PEM).
    #[arg(
        long,
        global = true,
        help_heading = COMMON,
        env = "NSTAR_TLS_CA",
        hide_env_values = true,
        value_name = "FILE",
        value_hint = ValueHint::FilePath
    )]
    tls_ca: Option<PathBuf>,

    /// For tls://: the certificate of this client (PEM).
    #[arg(
        long,
        global = true,
        help_heading = COMMON,
        env = "NSTAR_TLS_CERT",
        hide_env_values = true,
        value_name = "FILE",
        value_hint = ValueHint::FilePath
    )]
    tls_cert: Option<PathBuf>,

    /// For tls://: the private key of this client (PEM); nobody else must be able to read it.
    #[arg(
        long,
        global = true,
        help_heading = COMMON,
        env = "NSTAR_TLS_KEY",
        hide_env_values = true,
        value_name = "FILE",
        value_hint = ValueHint::FilePath
    )]
    tls_key: Option<PathBuf>,

    /// For tls://: the name in the daemon's certificate, if it is not HOST.
    #[arg(
        long,
        global = true,
        help_heading = COMMON,
        env = "NSTAR_TLS_NAME",
        hide_env_values = true,
        value_name = "NAME"
    )]
    tls_name: Option<String>,
}

impl TlsFiles {
    /// The certificates, if all of them are named.
    pub fn certificates(&self) -> Option<Tls> {
        Some(Tls {
            ca: self.tls_ca.clone()?,
            cert: self.tls_cert.clone()?,
            key: self.tls_key.clone()?,
            server_name: self.tls_name.clone(),
        })
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the installed containers and what they are doing.
    #[command(visible_alias = "ls", alias = "containers")]
    List,
    /// List the repositories.
    #[command(visible_alias = "repos")]
    Repositories,
    /// Show the manifest and the state of containers.
    Inspect(Inspect),
    /// Mount containers without starting them.
    Mount(Mount),
    /// Unmount containers.
    Umount(Umount),
    /// Start containers.
    Start(Start),
    /// End containers: ask them to, wait, and kill them if they do not.
    Stop(Stop),
    /// Send a signal to containers, and do not wait.
    Kill(Kill),
    /// Install packages.
    Install(Install),
    /// Remove containers from their repositories.
    Uninstall(Uninstall),
    /// Print what happens, until interrupted.
    #[command(visible_alias = "events")]
    Notifications(Notifications),
    /// Show live what containers use.
    Top(Top),
    /// Print who the daemon takes this client for.
    Ident,
    /// Create a token that proves to TARGET who this client is.
    #[command(alias = "token-create")]
    Token(Token),
    /// Verify a token that USER has created for this client.
    #[command(alias = "token-verify")]
    VerifyToken(VerifyToken),
    /// Stop all containers and end the daemon.
    Shutdown,
    /// Make the list of system calls of a manifest from recorded runs.
    Seccomp(Seccomp),
    /// Print a completion script for a shell.
    Completion(Completion),
}

impl Verb {
    /// Whether the daemon may take its time, and can be asked to stop meanwhile.
    pub fn takes_time(&self) -> bool {
        matches!(
            self,
            Verb::Mount(_)
                | Verb::Umount(_)
                | Verb::Start(_)
                | Verb::Install(_)
                | Verb::Uninstall(_)
        )
    }

    /// Whether it is about more than protocol 0.9.2 has.
    pub fn wants_details(&self) -> bool {
        // What an install takes for its repository must not depend on how answers are printed.
        matches!(
            self,
            Verb::Notifications(_) | Verb::Top(_) | Verb::Install(_)
        )
    }
}

impl Cli {
    /// Reads the command line, or ends the program with what is wrong with it.
    pub fn read() -> Cli {
        let cli = Cli::parse();
        if let Verb::Kill(kill) = &cli.verb
            && let Err(message) = kill.read()
        {
            let mut command = Cli::command();
            // It makes the names of the verbs complete, which its usage has.
            command.build();
            if let Some(kill) = command.find_subcommand_mut("kill") {
                kill.error(ErrorKind::ValueValidation, message).exit();
            }
        }
        cli
    }
}

/// Where the daemon is, or what is wrong with that: clap prints one error and not its source.
fn endpoint(text: &str) -> Result<Endpoint, String> {
    text.parse()
        .map_err(|error: InvalidEndpoint| match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        })
}

/// A duration with a unit, or seconds as 0.9.2 takes them.
pub fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::CODES;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units_or_are_seconds() {
        for (text, millis) in [
            ("5", 5000),
            ("500ms", 500),
            ("1min", 60_000),
            ("2h 1s", 7_201_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert!(matches!(
            duration("soon"),
            Err(humantime::DurationError::NumberExpected(_))
        ));
    }

    #[test]
    fn the_help_has_every_exit_code_and_no_other() {
        let (_, codes) = AFTER_HELP.split_once("Exit codes:\n").unwrap();
        let lines: Vec<&str> = codes.lines().take(CODES.len()).collect();
        let expected = CODES.map(|(code, meaning)| format!("  {code}  {meaning}"));
        assert_eq!(lines, expected);
        assert!(
            codes
                .lines()
                .nth(CODES.len())
                .unwrap()
                .starts_with("  `start")
        );
    }
}
