//! `schema`.

use crate::output::Output;

/// Print the JSON Schema of manifest.yaml
///
/// Editors check and complete manifests with it. What the file writes as `!word value` is
/// `word: value` in the schema.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments, output: &mut Output) -> anyhow::Result<()> {
    output.line(serde_json::to_string_pretty(&northstar_manifest::schema())?)
}
