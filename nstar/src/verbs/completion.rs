//! `completion`

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, ValueEnum};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use crate::{complete, failure::Failure, output};

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(
    override_usage = "nstar completion [OPTIONS] <SHELL>",
    after_help = "\
The script completes verbs, options, and the names of containers and repositories, for which it asks
the daemon that --url or NSTAR_URL names.

Examples:
  nstar completion bash > /etc/bash_completion.d/nstar
  nstar completion zsh > \"${fpath[1]}/_nstar\"
  nstar completion fish --output ~/.config/fish/completions/nstar.fish"
)]
pub struct Completion {
    /// The shell.
    #[arg(required_unless_present = "option")]
    shell: Option<Shell>,
    /// The shell, as 0.9.2 takes it.
    #[arg(
        id = "option",
        short = 's',
        long = "shell",
        hide = true,
        conflicts_with = "shell"
    )]
    option: Option<Shell>,
    /// File to write instead of standard output.
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
}

/// zsh runs the file `_nstar` of its `fpath` as the function that completes, once: then it has to complete, too.
const AUTOLOADED: &[u8] = b"
if [[ \"${funcstack[1]}\" == _nstar ]]; then
    _clap_dynamic_completer_nstar \"$@\"
fi
";

/// A shell that completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completion {
    pub fn run(&self) -> Result<(), Failure> {
        let Some(shell) = self.shell.or(self.option) else {
            // clap has made sure that there is one.
            return Ok(());
        };
        let script = script(shell).map_err(|source| Failure::Output { source })?;
        match &self.output {
            None => output::print(String::from_utf8_lossy(&script).trim()).map(drop),
            Some(path) => {
                let error = |source| Failure::Write {
                    path: path.clone(),
                    source,
                };
                let mut file = File::create(path).map_err(error)?;
                file.write_all(&script).map_err(error)
            }
        }
    }
}

fn script(shell: Shell) -> io::Result<Vec<u8>> {
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = Vec::new();
    completer.write_registration(complete::VARIABLE, "nstar", "nstar", "nstar", &mut script)?;
    if shell == Shell::Zsh {
        script.extend_from_slice(AUTOLOADED);
    }
    Ok(script)
}
