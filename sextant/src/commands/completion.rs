//! `completion`.

use clap_complete::Shell;

use crate::output::Output;

/// Print the completions of a shell
///
/// For bash: `sextant completion bash > /etc/bash_completion.d/sextant`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<()> {
    let mut command = crate::command();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "sextant", &mut script);
    output.bytes(&script)
}
