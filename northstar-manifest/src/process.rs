//! `init`, `args`, `env`, `uid`, `gid` and `suppl_groups`: the program and who runs it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    error::Problem,
    validate::{At, Checked, PATH_MAX},
};

const MAX_ARGUMENTS: usize = 256;
/// Longest argument in bytes: MAX_ARG_STRLEN of binfmts.h, less the final NUL. A manifest is
/// smaller than this anyway.
const MAX_ARGUMENT: usize = 131_071;
const MAX_VARIABLES: usize = 64;
const MAX_VARIABLE_NAME: usize = 64;
const MAX_VARIABLE_VALUE: usize = 1024;
const MAX_GROUPS: usize = 64;
const MAX_GROUP: usize = 64;

/// Variables the runtime sets itself.
const RESERVED_VARIABLES: &[&str] = &[
    "NORTHSTAR_NAME",
    "NORTHSTAR_VERSION",
    "NORTHSTAR_CONTAINER",
    "NORTHSTAR_CONSOLE",
];
/// What the names of the socket variables start with.
const RESERVED_PREFIX: &str = "NORTHSTAR_SOCKET_";

pub(crate) fn validate_init(init: &str) -> Checked {
    At::field("init").filled(init, PATH_MAX)
}

pub(crate) fn validate_args(args: &[String]) -> Checked {
    let at = At::field("args");
    at.at_most(args.len(), MAX_ARGUMENTS)?;
    args.iter()
        .enumerate()
        .try_for_each(|(i, arg)| at.key(i).text(arg, MAX_ARGUMENT))
}

pub(crate) fn validate_env(env: &BTreeMap<String, String>) -> Checked {
    let at = At::field("env");
    at.at_most(env.len(), MAX_VARIABLES)?;
    env.iter().try_for_each(|(name, value)| {
        let at = at.key(name);
        at.filled(name, MAX_VARIABLE_NAME)?;
        at.characters(name, |c| c != '=', "any but `=` and NUL")?;
        let reserved =
            RESERVED_VARIABLES.contains(&name.as_str()) || name.starts_with(RESERVED_PREFIX);
        at.ensure(!reserved, || Problem::Reserved)?;
        at.text(value, MAX_VARIABLE_VALUE)
    })
}

/// 0 is root; the largest number is -1, which setresuid(2) takes as "leave it as it is".
pub(crate) fn validate_id(at: &At, id: u32) -> Checked {
    at.range(id, 1, i128::from(u32::MAX) - 1)
}

pub(crate) fn validate_groups(groups: &[String]) -> Checked {
    let at = At::field("suppl_groups");
    at.at_most(groups.len(), MAX_GROUPS)?;
    let mut seen = BTreeSet::new();
    groups.iter().enumerate().try_for_each(|(i, group)| {
        at.key(i).filled(group, MAX_GROUP)?;
        at.ensure(seen.insert(group), || Problem::Duplicate {
            entry: group.clone(),
        })
    })
}
