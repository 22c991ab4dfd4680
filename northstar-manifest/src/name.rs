//! Container names.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Longest name in bytes. It is part of directory, cgroup and device names.
const MAX_LENGTH: usize = 64;

/// Name of a container: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
///
/// A name is used as a file name by the runtime; the first character rules out `.`, `..`,
/// hidden files and anything that looks like a command line option. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a string is not a container name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidName {
    /// The empty string.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than 64 bytes.
    #[error("a name of {length} bytes is too long: at most {MAX_LENGTH} are allowed")]
    TooLong {
        /// Length of the refused string in bytes.
        length: usize,
    },
    /// First character is not an ASCII letter or digit.
    #[error("name starts with {character:?}: the first character must be an ASCII letter or digit")]
    Start {
        /// The refused character.
        character: char,
    },
    /// A character outside the allowed set.
    #[error(
        "name contains {character:?}: only ASCII letters, digits, `.`, `_` and `-` are allowed"
    )]
    Character {
        /// The refused character.
        character: char,
    },
}

impl Name {
    /// The name as a string slice.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let first = name.chars().next().ok_or(InvalidName::Empty)?;
        if name.len() > MAX_LENGTH {
            return Err(InvalidName::TooLong { length: name.len() });
        }
        if !first.is_ascii_alphanumeric() {
            return Err(InvalidName::Start { character: first });
        }
        match name.chars().find(|c| !is_name_character(*c)) {
            Some(character) => Err(InvalidName::Character { character }),
            None => Ok(Name(name.into())),
        }
    }
}

/// Whether `character` may follow the first character of a name.
pub(crate) fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-')
}

impl TryFrom<&str> for Name {
    type Error = InvalidName;

    fn try_from(name: &str) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_allowed_shape_parse() {
        let longest = "a".repeat(64);
        for name in [
            "a",
            "hello-world",
            "A.b_c-9",
            "0",
            "..a".trim_start_matches('.'),
            &longest,
        ] {
            assert_eq!(name.parse::<Name>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn each_kind_of_bad_name_is_told_apart() {
        let cases = [
            ("", InvalidName::Empty),
            (".", InvalidName::Start { character: '.' }),
            ("..", InvalidName::Start { character: '.' }),
            ("-rf", InvalidName::Start { character: '-' }),
            ("ä", InvalidName::Start { character: 'ä' }),
            ("a/b", InvalidName::Character { character: '/' }),
            ("a b", InvalidName::Character { character: ' ' }),
            ("a:1", InvalidName::Character { character: ':' }),
            ("a\0", InvalidName::Character { character: '\0' }),
            ("aé", InvalidName::Character { character: 'é' }),
        ];
        for (name, error) in cases {
            assert_eq!(name.parse::<Name>(), Err(error), "{name:?}");
        }
        let long = "a".repeat(65);
        assert_eq!(
            long.parse::<Name>(),
            Err(InvalidName::TooLong { length: 65 })
        );
    }
}
