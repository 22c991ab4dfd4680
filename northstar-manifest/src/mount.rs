//! `mounts`: what is mounted into the container.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    path::{Path, PathBuf},
};

use semver::VersionReq;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, Visitor},
};

use crate::{
    MountOptions,
    error::Problem,
    name::Name,
    size,
    validate::{At, Checked},
    version,
};

/// What is mounted on a mount point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Mount {
    /// A file or directory of the host.
    Bind {
        /// Absolute path on the host.
        host: PathBuf,
        /// Flags beyond the default.
        #[serde(skip_serializing_if = "MountOptions::is_empty")]
        options: MountOptions,
    },
    /// The runtime's own minimal `/dev`.
    Dev,
    /// A directory of the host that belongs to this container.
    Persist,
    /// proc(5) of the container's process namespace.
    Proc,
    /// A directory of a resource package.
    Resource {
        /// Name of the resource.
        name: Name,
        /// Which versions will do; the newest installed one is taken.
        version: VersionReq,
        /// Absolute path inside the resource.
        dir: PathBuf,
        /// Flags beyond the default.
        #[serde(skip_serializing_if = "MountOptions::is_empty")]
        options: MountOptions,
    },
    /// The sockets of all running containers.
    Sockets,
    /// sysfs(5), read-only.
    Sysfs,
    /// A file system in memory.
    Tmpfs {
        /// Size in bytes.
        size: u64,
    },
}

impl Mount {
    /// The word of the `type` field.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Mount::Bind { .. } => "bind",
            Mount::Dev => "dev",
            Mount::Persist => "persist",
            Mount::Proc => "proc",
            Mount::Resource { .. } => "resource",
            Mount::Sockets => "sockets",
            Mount::Sysfs => "sysfs",
            Mount::Tmpfs { .. } => "tmpfs",
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Bind,
    Dev,
    Persist,
    Proc,
    Resource,
    Sockets,
    Sysfs,
    Tmpfs,
}

/// The fields of every kind of mount. Serde's own tagged enums look at the values before they know
/// their types, so that a version requirement `1.10` would arrive as the number 1.1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    r#type: Kind,
    host: Option<PathBuf>,
    name: Option<Name>,
    #[serde(default, deserialize_with = "version::requirement")]
    version: Option<VersionReq>,
    dir: Option<PathBuf>,
    options: Option<MountOptions>,
    #[serde(default, deserialize_with = "size::optional")]
    size: Option<u64>,
}

impl Fields {
    /// The names of the fields that are still there.
    fn rest(&self) -> Option<&'static str> {
        let Fields {
            r#type: _,
            host,
            name,
            version,
            dir,
            options,
            size,
        } = self;
        [
            (host.is_some(), "host"),
            (name.is_some(), "name"),
            (version.is_some(), "version"),
            (dir.is_some(), "dir"),
            (options.is_some(), "options"),
            (size.is_some(), "size"),
        ]
        .into_iter()
        .find_map(|(present, field)| present.then_some(field))
    }
}

/// A field that a mount of type `kind` has to have.
fn needed<T, E: serde::de::Error>(field: Option<T>, kind: &str, name: &str) -> Result<T, E> {
    field.ok_or_else(|| {
        E::custom(format_args!(
            "a mount of type `{kind}` needs the field `{name}`"
        ))
    })
}

impl<'de> Deserialize<'de> for Mount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        let mount = match fields.r#type {
            Kind::Bind => Mount::Bind {
                host: needed(fields.host.take(), "bind", "host")?,
                options: fields.options.take().unwrap_or_default(),
            },
            Kind::Dev => Mount::Dev,
            Kind::Persist => Mount::Persist,
            Kind::Proc => Mount::Proc,
            Kind::Resource => Mount::Resource {
                name: needed(fields.name.take(), "resource", "name")?,
                version: needed(fields.version.take(), "resource", "version")?,
                dir: needed(fields.dir.take(), "resource", "dir")?,
                options: fields.options.take().unwrap_or_default(),
            },
            Kind::Sockets => Mount::Sockets,
            Kind::Sysfs => Mount::Sysfs,
            Kind::Tmpfs => Mount::Tmpfs {
                size: needed(fields.size.take(), "tmpfs", "size")?,
            },
        };
        match fields.rest() {
            None => Ok(mount),
            Some(field) => Err(D::Error::custom(format_args!(
                "a mount of type `{}` has no field `{field}`",
                mount.kind()
            ))),
        }
    }
}

/// The map of mounts. Paths are compared by component, so `/data` and `/data/` are one.
pub(crate) fn deserialize_map<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<PathBuf, Mount>, D::Error> {
    struct Mounts;

    impl<'de> Visitor<'de> for Mounts {
        type Value = BTreeMap<PathBuf, Mount>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map from mount points to mounts")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut mounts = BTreeMap::new();
            while let Some((point, mount)) = map.next_entry::<PathBuf, Mount>()? {
                match mounts.entry(point) {
                    Entry::Vacant(entry) => entry.insert(mount),
                    Entry::Occupied(entry) => {
                        return Err(A::Error::custom(format_args!(
                            "the mount point `{}` is there twice",
                            entry.key().display()
                        )));
                    }
                };
            }
            Ok(mounts)
        }
    }

    deserializer.deserialize_map(Mounts)
}

pub(crate) fn validate(mounts: &BTreeMap<PathBuf, Mount>) -> Checked {
    let at = At::field("mounts");
    mounts.iter().try_for_each(|(point, mount)| {
        let at = at.key(point.display());
        at.absolute(point)?;
        at.ensure(point != Path::new("/"), || Problem::RootMount)?;
        validate_mount(&at, mount)
    })
}

fn validate_mount(at: &At, mount: &Mount) -> Checked {
    match mount {
        Mount::Bind { host, .. } => at.key("host").absolute(host),
        Mount::Resource { dir, options, .. } => {
            at.key("dir").absolute(dir)?;
            at.key("options")
                .ensure(!options.rec, || Problem::MountOption {
                    option: "rec",
                    mount: "resource",
                })
        }
        // A tmpfs of size 0 has no limit at all (tmpfs(5)).
        Mount::Tmpfs { size } => at.key("size").range(*size, 1, u64::MAX.into()),
        Mount::Dev | Mount::Persist | Mount::Proc | Mount::Sockets | Mount::Sysfs => Ok(()),
    }
}
