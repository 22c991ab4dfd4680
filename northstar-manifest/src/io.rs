//! `io`: where standard output and standard error go.

use serde::{Deserialize, Serialize};

/// Standard output and standard error; standard input is always `/dev/null`.
///
/// Both are always written, because 0.9.2 refuses an `io` with only one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Io {
    /// Standard output.
    #[serde(default)]
    pub stdout: Output,
    /// Standard error.
    #[serde(default)]
    pub stderr: Output,
}

/// Where a stream goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Output {
    /// To `/dev/null`.
    #[default]
    Discard,
    /// To the daemon's log, line by line.
    Pipe,
    /// To the stream of the daemon.
    Inherit,
}
