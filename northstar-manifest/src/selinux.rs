//! `selinux`: contexts of mounts and of the payload.

use serde::{Deserialize, Serialize};

use crate::validate::{At, Checked};

/// Longest context: XATTR_SIZE_MAX of limits.h, less the final NUL.
const MAX_CONTEXT: usize = 65_535;

/// SELinux contexts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Selinux {
    /// Context of every file of the mounted package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "crate::schema::selinux_context")
    )]
    pub mount_context: Option<String>,
    /// Context the payload is executed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "crate::schema::selinux_context")
    )]
    pub exec: Option<String>,
}

impl Selinux {
    pub(crate) fn validate(&self, at: &At) -> Checked {
        for (name, context) in [("mount_context", &self.mount_context), ("exec", &self.exec)] {
            let Some(context) = context else { continue };
            let at = at.key(name);
            at.filled(context, MAX_CONTEXT)?;
            // The mount context ends up in a mount option, where a comma would start another one.
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == ':' || c == '_';
            at.characters(context, is_allowed, "ASCII letters, digits, `:` and `_`")?;
        }
        Ok(())
    }
}
