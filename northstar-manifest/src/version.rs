//! Versions, with errors that say what one looks like.

use semver::{Version, VersionReq};
use serde::{Deserialize, Deserializer, de::Error as _};

/// A semantic version.
pub(crate) fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
    let text = String::deserialize(deserializer)?;
    Version::parse(&text).map_err(|error| {
        D::Error::custom(format_args!(
            "`{text}` is not a semantic version such as 1.2.3: {error}"
        ))
    })
}

/// Which versions will do.
pub(crate) fn requirement<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<VersionReq>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    VersionReq::parse(&text).map(Some).map_err(|error| {
        D::Error::custom(format_args!(
            "`{text}` is not a version requirement such as `>=1.2, <2`: {error}"
        ))
    })
}
