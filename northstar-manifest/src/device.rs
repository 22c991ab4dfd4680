//! `cgroups.devices`: which devices the container may use.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Devices that the container may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceRule {
    /// Character or block devices.
    #[serde(rename = "type")]
    pub kind: DeviceKind,
    /// Major device number; all of them if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major: Option<u32>,
    /// Minor device number; all of them if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<u32>,
    /// What may be done with them.
    pub access: DeviceAccess,
}

/// Kind of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum DeviceKind {
    /// Character devices.
    Char,
    /// Block devices.
    Block,
}

/// What may be done with a device: a string of the letters `r`, `w` and `m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceAccess {
    /// `r`: open for reading.
    pub read: bool,
    /// `w`: open for writing.
    pub write: bool,
    /// `m`: create the node.
    pub mknod: bool,
}

/// A string that is not a set of the letters `r`, `w` and `m`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is not a device access: write one or more of the letters `r`, `w` and `m`")]
pub struct InvalidDeviceAccess {
    /// The refused string.
    pub text: String,
}

impl FromStr for DeviceAccess {
    type Err = InvalidDeviceAccess;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = !text.is_empty() && text.chars().all(|c| matches!(c, 'r' | 'w' | 'm'));
        if !known {
            return Err(InvalidDeviceAccess {
                text: text.to_owned(),
            });
        }
        let has = |letter| text.contains(letter);
        Ok(DeviceAccess {
            read: has('r'),
            write: has('w'),
            mknod: has('m'),
        })
    }
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (set, letter) in [(self.read, "r"), (self.write, "w"), (self.mknod, "m")] {
            f.write_str(if set { letter } else { "" })?;
        }
        Ok(())
    }
}

impl Serialize for DeviceAccess {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceAccess {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
