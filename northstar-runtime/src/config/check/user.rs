//! `user_namespaces`.

use super::{ConfigError, raw, value};
use crate::config::checked::UserNamespaces;

pub(super) fn user_namespaces(
    raw: Option<raw::UserNamespaces>,
) -> Result<UserNamespaces, ConfigError> {
    let default = UserNamespaces::default();
    let Some(raw) = raw else { return Ok(default) };
    let size = UserNamespaces::SIZE;
    let number = |key: &str, given: Option<u64>, default: u32, min: u32, max: u32| {
        let key = format!("user_namespaces.{key}");
        let number = value::number(&key, given, default.into(), min.into(), max.into())?;
        Ok::<_, ConfigError>(u32::try_from(number).unwrap_or(max))
    };
    // The host's own users are in the first 65536 ids; the last id of all is none.
    let last = u32::MAX - size;
    let first_id = number("first_id", raw.first_id, default.first_id, size, last)?;
    let most = (u32::MAX - first_id) / size;
    let count = number("count", raw.count, default.count.min(most), 1, most)?;
    Ok(UserNamespaces { first_id, count })
}
