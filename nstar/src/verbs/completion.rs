//! `completion`

use std::{fs::File, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{cli::Cli, failure::Failure, output};

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(
    override_usage = "nstar completion [OPTIONS] <SHELL>",
    after_help = "\
Examples:
  nstar completion bash > /etc/bash_completion.d/nstar
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
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Completion {
    pub fn run(&self) -> Result<(), Failure> {
        let Some(shell) = self.shell.or(self.option) else {
            // clap has made sure that there is one.
            return Ok(());
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "nstar", &mut script);
        match &self.output {
            None => output::print(String::from_utf8_lossy(&script).trim_end()).map(drop),
            Some(path) => {
                let error = |source| Failure::Write {
                    path: path.clone(),
                    source,
                };
                let mut file = File::create(path).map_err(error)?;
                std::io::Write::write_all(&mut file, &script).map_err(error)
            }
        }
    }
}
