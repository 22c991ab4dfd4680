//! `console`: a connected console for the container.

use serde::{Deserialize, Serialize};

use crate::permission::Permissions;

/// The console a container gets as the descriptor in `NORTHSTAR_CONSOLE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Console {
    /// What the container may do through it.
    pub permissions: Permissions,
}
