//! `autostart`: start with the daemon.

use serde::{Deserialize, Serialize};

/// Start the container when the daemon starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Autostart {
    /// Failures are ignored.
    Relaxed,
    /// A failed start, a non-zero exit or a death by signal ends the daemon with an error.
    Critical,
}
