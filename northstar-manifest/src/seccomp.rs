//! `seccomp`: which system calls the container may make.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    error::Problem,
    validate::{At, Checked},
};

/// Largest argument index (`struct seccomp_data`).
const MAX_INDEX: u32 = 5;
const MAX_VALUES: usize = 50;
/// Longest name of a system call in bytes; the longest today has 27.
const MAX_NAME: usize = 64;

/// The system calls a container may make: a profile, a list, or a profile and more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(transform = crate::schema::seccomp))]
pub struct Seccomp {
    /// A list that comes with the runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// System calls by name. Adds to the profile; without a profile it is the whole list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "crate::schema::allowed_calls")
    )]
    pub allow: Option<BTreeMap<String, Rule>>,
}

/// A list of system calls that comes with the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Profile {
    /// What ordinary programs need.
    Default,
}

/// When a system call is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Rule {
    /// With any arguments.
    Any,
    /// If one argument is as described.
    Args(ArgumentRule),
}

/// Allowed if the 64-bit argument is one of `values`, or `mask` is given and `arg & !mask == 0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(transform = crate::schema::argument_rule))]
pub struct ArgumentRule {
    /// Which argument, 0 to 5.
    #[cfg_attr(feature = "schema", schemars(range(max = 5)))]
    pub index: u32,
    /// Allowed values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 50)))]
    pub values: Option<Vec<u64>>,
    /// Bits that may be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<u64>,
}

impl Seccomp {
    pub(crate) fn validate(&self, at: &At) -> Checked {
        let some = self.profile.is_some() || self.allow.is_some();
        at.ensure(some, || Problem::NeedsOneOf {
            fields: "`profile` or `allow`",
        })?;
        let at = at.key("allow");
        self.allow.iter().flatten().try_for_each(|(name, rule)| {
            let at = at.key(name);
            at.filled(name, MAX_NAME)?;
            match rule {
                Rule::Any => Ok(()),
                Rule::Args(rule) => rule.validate(&at),
            }
        })
    }
}

impl ArgumentRule {
    fn validate(&self, at: &At) -> Checked {
        at.key("index").range(self.index, 0, MAX_INDEX.into())?;
        let some = self.values.is_some() || self.mask.is_some();
        at.ensure(some, || Problem::NeedsOneOf {
            fields: "`values` or `mask`",
        })?;
        at.key("values")
            .at_most(self.values.as_ref().map_or(0, Vec::len), MAX_VALUES)
    }
}
