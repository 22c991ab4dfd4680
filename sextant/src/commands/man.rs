//! `man`.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use crate::man;
use crate::output::Output;

/// Write the man pages
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Existing directory to write them to
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<()> {
    for page in man::pages(crate::command(), crate::man::SEXTANT)? {
        let path = arguments.out.join(&page.name);
        fs::write(&path, page.roff)
            .with_context(|| format!("failed to write {}", path.display()))?;
        output.line(path.display())?;
    }
    Ok(())
}
