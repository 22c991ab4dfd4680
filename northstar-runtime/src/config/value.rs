//! Durations, sizes and numbers with their bounds.

use super::{ConfigError, ValueError};
use bytesize::ByteSize;
use std::{ops::RangeInclusive, time::Duration};

/// Says which key an error is about.
pub(super) trait At<T> {
    fn at(self, key: impl Into<String>) -> Result<T, ConfigError>;
}

impl<T> At<T> for Result<T, ValueError> {
    fn at(self, key: impl Into<String>) -> Result<T, ConfigError> {
        self.map_err(|source| ConfigError::Value {
            key: key.into(),
            source,
        })
    }
}

pub(super) fn duration(
    key: &str,
    text: Option<&str>,
    default: Duration,
    allowed: RangeInclusive<Duration>,
) -> Result<Duration, ConfigError> {
    let Some(text) = text else {
        return Ok(default);
    };
    let duration = humantime::parse_duration(text).map_err(|source| ValueError::Duration {
        text: text.to_owned(),
        source,
    });
    let duration = duration.at(key)?;
    if allowed.contains(&duration) {
        return Ok(duration);
    }
    let (min, max) = allowed.into_inner();
    let text = text.to_owned();
    Err(ValueError::DurationRange { text, min, max }).at(key)
}

pub(super) fn size(
    key: &str,
    text: Option<&str>,
    default: u64,
    allowed: RangeInclusive<u64>,
) -> Result<u64, ConfigError> {
    let Some(text) = text else {
        return Ok(default);
    };
    let size = text.parse::<ByteSize>().map_err(|_| ValueError::Size {
        text: text.to_owned(),
    });
    let ByteSize(size) = size.at(key)?;
    if allowed.contains(&size) {
        return Ok(size);
    }
    let (min, max) = allowed.into_inner();
    let text = text.to_owned();
    Err(ValueError::SizeRange { text, min, max }).at(key)
}

pub(super) fn number(
    key: &str,
    given: Option<u64>,
    default: u64,
    min: u64,
    max: u64,
) -> Result<u64, ConfigError> {
    let value = given.unwrap_or(default);
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(ValueError::NumberRange { value, min, max }).at(key)
    }
}
