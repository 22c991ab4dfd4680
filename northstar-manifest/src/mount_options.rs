//! `options` of bind and resource mounts.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Mount flags beyond the default of the mount: one string of comma-separated words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MountOptions {
    /// `rw`: writable.
    pub rw: bool,
    /// `noexec`: nothing on it can be executed.
    pub noexec: bool,
    /// `nosuid`: set-user-id bits and file capabilities have no effect.
    pub nosuid: bool,
    /// `nodev`: device nodes cannot be opened.
    pub nodev: bool,
    /// `rec`: mounts below the source come along; for binds only.
    pub rec: bool,
}

impl MountOptions {
    /// Whether no option is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == MountOptions::default()
    }

    fn words(&self) -> impl Iterator<Item = &'static str> {
        let MountOptions {
            rw,
            noexec,
            nosuid,
            nodev,
            rec,
        } = *self;
        [
            (rw, "rw"),
            (noexec, "noexec"),
            (nosuid, "nosuid"),
            (nodev, "nodev"),
            (rec, "rec"),
        ]
        .into_iter()
        .filter_map(|(set, word)| set.then_some(word))
    }
}

impl fmt::Display for MountOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, word) in self.words().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{word}")?;
        }
        Ok(())
    }
}

/// A word that is not a mount option.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown mount option `{word}`: allowed are rw, noexec, nosuid, nodev and rec")]
pub struct UnknownMountOption {
    /// The word as it was written.
    pub word: String,
}

impl FromStr for MountOptions {
    type Err = UnknownMountOption;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut options = MountOptions::default();
        if text.trim().is_empty() {
            return Ok(options);
        }
        for word in text.split(',').map(str::trim) {
            let option = match word {
                "rw" => &mut options.rw,
                "noexec" => &mut options.noexec,
                "nosuid" => &mut options.nosuid,
                "nodev" => &mut options.nodev,
                "rec" => &mut options.rec,
                _ => {
                    return Err(UnknownMountOption {
                        word: word.to_owned(),
                    });
                }
            };
            *option = true;
        }
        Ok(options)
    }
}

impl Serialize for MountOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MountOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
