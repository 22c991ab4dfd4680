//! Container identification: `name:version`.

use std::{fmt, str::FromStr, sync::Arc};

use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::name::{InvalidName, Name};

/// Name and version of a container, written `name:version`. Cloning is cheap.
///
/// The order is by name, then by version precedence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Container(Arc<(Name, Version)>);

/// Why a string is not a container identification.
#[derive(Debug, Error)]
pub enum InvalidContainer {
    /// There is no `:` in it.
    #[error("`{text}` has no version: a container is written `name:version`")]
    MissingVersion {
        /// The refused string.
        text: String,
    },
    /// The part before the `:`.
    #[error("invalid name in `{text}`")]
    Name {
        /// The refused string.
        text: String,
        /// What is wrong with the name.
        source: InvalidName,
    },
    /// The part after the `:`.
    #[error("invalid version in `{text}`")]
    Version {
        /// The refused string.
        text: String,
        /// What is wrong with the version.
        source: semver::Error,
    },
}

impl Container {
    /// Puts a container identification together.
    #[must_use]
    pub fn new(name: Name, version: Version) -> Container {
        Container(Arc::new((name, version)))
    }

    /// The container's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0.0
    }

    /// The container's version.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.0.1
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name(), self.version())
    }
}

impl FromStr for Container {
    type Err = InvalidContainer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, version) =
            text.split_once(':')
                .ok_or_else(|| InvalidContainer::MissingVersion {
                    text: text.to_owned(),
                })?;
        let name = name.parse().map_err(|source| InvalidContainer::Name {
            text: text.to_owned(),
            source,
        })?;
        let version = Version::parse(version).map_err(|source| InvalidContainer::Version {
            text: text.to_owned(),
            source,
        })?;
        Ok(Container::new(name, version))
    }
}

impl TryFrom<&str> for Container {
    type Error = InvalidContainer;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl Serialize for Container {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Container {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error: InvalidContainer| {
            // A serde error has no source: the cause has to be in the message.
            match std::error::Error::source(&error) {
                Some(cause) => serde::de::Error::custom(format_args!("{error}: {cause}")),
                None => serde::de::Error::custom(error),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_and_parse_are_inverse() {
        for text in ["hello-world:0.0.1", "a:1.2.3-rc.1+build.5"] {
            let container: Container = text.parse().unwrap();
            assert_eq!(container.to_string(), text);
            assert_eq!(
                serde_json::to_string(&container).unwrap(),
                format!("{text:?}")
            );
            let json = serde_json::from_str::<Container>(&format!("{text:?}")).unwrap();
            assert_eq!(json, container);
        }
    }

    #[test]
    fn each_part_has_its_own_error() {
        assert!(matches!(
            "hello".parse::<Container>(),
            Err(InvalidContainer::MissingVersion { .. })
        ));
        assert!(matches!(
            "../x:1.0.0".parse::<Container>(),
            Err(InvalidContainer::Name {
                source: InvalidName::Start { .. },
                ..
            })
        ));
        assert!(matches!(
            "a:1.0".parse::<Container>(),
            Err(InvalidContainer::Version { .. })
        ));
        assert!(matches!(
            "a:1.0.0:2".parse::<Container>(),
            Err(InvalidContainer::Version { .. })
        ));
    }

    #[test]
    fn versions_order_by_precedence_not_by_text() {
        let containers: Vec<Container> =
            ["a:0.0.9", "a:0.0.10", "a:1.0.0-rc1", "a:1.0.0", "b:0.0.1"]
                .iter()
                .map(|c| c.parse().unwrap())
                .collect();
        assert!(containers.is_sorted());
    }
}
