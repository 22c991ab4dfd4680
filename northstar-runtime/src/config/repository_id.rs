//! The name of a repository.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Most bytes of a repository's name.
const MAX_LENGTH: usize = 64;

/// The name of a repository. It is also the name of a directory below `data_dir`, hence the rules of container
/// names: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryId(String);

/// The text is no name of a repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is no repository name (allowed: a letter or digit, then up to 63 letters, digits, '.', '_' or '-')"
)]
pub struct InvalidRepositoryId {
    /// The text.
    pub name: String,
}

impl RepositoryId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RepositoryId {
    type Error = InvalidRepositoryId;

    fn try_from(name: String) -> Result<RepositoryId, InvalidRepositoryId> {
        let follows = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let first = name.as_bytes().first();
        let valid = first.is_some_and(u8::is_ascii_alphanumeric)
            && name.len() <= MAX_LENGTH
            && name.bytes().all(follows);
        if valid {
            Ok(RepositoryId(name))
        } else {
            Err(InvalidRepositoryId { name })
        }
    }
}

impl FromStr for RepositoryId {
    type Err = InvalidRepositoryId;

    fn from_str(name: &str) -> Result<RepositoryId, InvalidRepositoryId> {
        RepositoryId::try_from(name.to_owned())
    }
}

impl From<RepositoryId> for String {
    fn from(id: RepositoryId) -> String {
        id.0
    }
}

impl AsRef<str> for RepositoryId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_id_is_one_safe_path_component() {
        for name in [
            "default",
            "memory",
            "a",
            "0",
            "my-repo_1.x",
            &"x".repeat(64),
        ] {
            assert_eq!(name.parse::<RepositoryId>().unwrap().as_str(), name);
        }
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "-x",
            "a/b",
            "a b",
            "a\0",
            "ä",
            &"x".repeat(65),
        ] {
            let name = name.to_owned();
            assert_eq!(
                name.parse::<RepositoryId>(),
                Err(InvalidRepositoryId { name })
            );
        }
    }
}
