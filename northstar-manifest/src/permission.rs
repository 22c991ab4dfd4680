//! Console permissions, used by manifests and by the daemon's configuration.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
};
use thiserror::Error;

/// The word that stands for every permission.
const FULL: &str = "full";

macro_rules! permissions {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// What a console connection may do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission {
            $($(#[$doc])* $variant,)*
        }

        impl Permission {
            /// Every permission, in the order of the words.
            pub const ALL: &[Permission] = &[$(Permission::$variant,)*];
            const WORDS: &[&str] = &[$($word,)*];

            /// The word in manifests and configurations.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Permission::$variant => $word,)*
                }
            }
        }

        impl FromStr for Permission {
            type Err = UnknownPermission;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Permission::$variant),)*
                    _ => Err(UnknownPermission { word: word.to_owned() }),
                }
            }
        }
    };
}

permissions! {
    /// Ask who the daemon thinks the peer is.
    Ident = "ident",
    /// See the manifest and state of a container.
    Inspect = "inspect",
    /// Install a package.
    Install = "install",
    /// Send a signal to a container.
    Kill = "kill",
    /// List the installed containers.
    List = "list",
    /// Mount containers.
    Mount = "mount",
    /// Subscribe to notifications.
    Notifications = "notifications",
    /// List the repositories.
    Repositories = "repositories",
    /// Shut the daemon down.
    Shutdown = "shutdown",
    /// Start a container as its manifest says.
    Start = "start",
    /// Start a container with other arguments, environment or init.
    StartCommand = "start_command",
    /// Create a token.
    TokenCreate = "token_create",
    /// Verify a token.
    TokenVerification = "token_verification",
    /// Unmount containers.
    Umount = "umount",
    /// Uninstall a container.
    Uninstall = "uninstall",
}

/// A word that is not a permission.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown permission `{word}`: allowed are {}", Permission::WORDS.join(", "))]
pub struct UnknownPermission {
    /// The word as it was written.
    pub word: String,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Permission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A set of permissions: written as `full` or as a list of words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions(BTreeSet<Permission>);

impl Permissions {
    /// Every permission.
    #[must_use]
    pub fn full() -> Permissions {
        Permission::ALL.iter().copied().collect()
    }

    /// No permission.
    #[must_use]
    pub fn none() -> Permissions {
        Permissions::default()
    }

    /// Whether every permission is in the set.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() == Permission::ALL.len()
    }

    /// Whether `permission` is in the set.
    #[must_use]
    pub fn contains(&self, permission: Permission) -> bool {
        self.0.contains(&permission)
    }

    /// Adds `permission`; false if it was there already.
    pub fn insert(&mut self, permission: Permission) -> bool {
        self.0.insert(permission)
    }

    /// The permissions in order.
    pub fn iter(&self) -> impl Iterator<Item = Permission> + '_ {
        self.0.iter().copied()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Permissions) -> Permissions {
        self.0.intersection(&other.0).copied().collect()
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Permissions(permissions.into_iter().collect())
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_full() {
            return f.write_str(FULL);
        }
        let words: Vec<&str> = self.iter().map(Permission::as_str).collect();
        f.write_str(&words.join(", "))
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_full() {
            serializer.serialize_str(FULL)
        } else {
            serializer.collect_seq(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FullOrList;

        impl<'de> Visitor<'de> for FullOrList {
            type Value = Permissions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`{FULL}` or a list of {}", Permission::WORDS.join(", "))
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Permissions, E> {
                if word == FULL {
                    Ok(Permissions::full())
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Str(word), &self))
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Permissions, A::Error> {
                let mut permissions = Permissions::none();
                while let Some(permission) = list.next_element()? {
                    permissions.insert(permission);
                }
                Ok(permissions)
            }
        }

        deserializer.deserialize_any(FullOrList)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_fifteen_words_and_each_parses_back() {
        assert_eq!(Permission::ALL.len(), 15);
        for permission in Permission::ALL {
            assert_eq!(
                permission.as_str().parse::<Permission>().as_ref(),
                Ok(permission)
            );
        }
        let error = "root".parse::<Permission>().unwrap_err();
        assert_eq!(error.word, "root");
    }

    #[test]
    fn full_is_one_word_and_a_part_is_a_list() {
        let json = |p: &Permissions| serde_json::to_string(p).unwrap();
        assert_eq!(json(&Permissions::full()), r#""full""#);
        let part: Permissions = [Permission::Start, Permission::List].into_iter().collect();
        assert_eq!(json(&part), r#"["list","start"]"#);
        assert_eq!(json(&Permissions::none()), "[]");
        for permissions in [Permissions::full(), part, Permissions::none()] {
            let back: Permissions = serde_json::from_str(&json(&permissions)).unwrap();
            assert_eq!(back, permissions);
        }
    }

    #[test]
    fn every_word_written_out_equals_full() {
        let all = serde_json::to_string(Permission::WORDS).unwrap();
        assert!(serde_json::from_str::<Permissions>(&all).unwrap().is_full());
    }
}
