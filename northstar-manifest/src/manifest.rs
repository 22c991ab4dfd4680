//! The manifest as a whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    Autostart, CGroups, Capability, Console, Container, FieldError, Io, Mount, Name, Network,
    Problem, RlimitKind, RlimitValue, Sched, Seccomp, Selinux, Socket, mount, process, rlimit,
    socket, text,
    validate::{At, Checked},
    version,
};

/// What a package says about itself.
///
/// The serde form is the JSON of the console. [`Manifest::from_yaml`] and [`Manifest::to_yaml`] read
/// and write the file in a package. Deserialising checks types only; see [`Manifest::validate`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(transform = crate::schema::resource))]
#[cfg_attr(
    feature = "schema",
    schemars(description = "What a package says about itself.")
)]
pub struct Manifest {
    /// Name of the container.
    pub name: Name,
    /// Version of the container.
    #[serde(deserialize_with = "version::version")]
    pub version: Version,
    /// Path of the program in the container. A package without it is a resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::init"))]
    pub init: Option<String>,
    /// Arguments of the program, without its name.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "text::list"
    )]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::args"))]
    pub args: Vec<String>,
    /// Environment of the program.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "text::map"
    )]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::env"))]
    pub env: BTreeMap<String, String>,
    /// User id, at least 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 4_294_967_294_u32)))]
    pub uid: u32,
    /// Group id, at least 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 4_294_967_294_u32)))]
    pub gid: u32,
    /// Names of supplementary groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::groups"))]
    pub suppl_groups: Vec<String>,
    /// Run in a user namespace of its own, on a range of the host's ids that no other container
    /// has; the mounts are mapped along. `uid` and `gid` are those inside, which end at 65535, and
    /// there are no `suppl_groups`. Unknown to 0.9.2.
    #[serde(default, skip_serializing_if = "is_false")]
    pub userns: bool,
    /// The console of the container, if it gets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<Console>,
    /// Start with the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autostart: Option<Autostart>,
    /// Scheduling; `!other {nice: 0}` if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sched: Option<Sched>,
    /// What is mounted where; parents come before their children.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "mount::deserialize_map"
    )]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::mounts"))]
    pub mounts: BTreeMap<PathBuf, Mount>,
    /// Control group limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroups: Option<CGroups>,
    /// Network namespace; a private, empty one if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Allowed system calls; if omitted all but those that no container may make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Seccomp>,
    /// The exact capabilities of the payload.
    #[serde(
        default,
        skip_serializing_if = "BTreeSet::is_empty",
        deserialize_with = "deserialize_capabilities"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "crate::schema::capabilities")
    )]
    pub capabilities: BTreeSet<Capability>,
    /// Resource limits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::rlimits"))]
    pub rlimits: BTreeMap<RlimitKind, RlimitValue>,
    /// SELinux contexts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selinux: Option<Selinux>,
    /// Sockets the runtime binds for the container, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::sockets"))]
    pub sockets: BTreeMap<String, Socket>,
    /// Standard output and error; discarded if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io: Option<Io>,
    /// Anything; the runtime only hands it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::custom"))]
    pub custom: Option<serde_json::Value>,
}

/// Whether a switch is off, and so not written.
pub(crate) fn is_false(value: &bool) -> bool {
    !*value
}

fn deserialize_capabilities<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeSet<Capability>, D::Error> {
    let list = Vec::<Capability>::deserialize(deserializer)?;
    let mut set = BTreeSet::new();
    for capability in list {
        if !set.insert(capability) {
            return Err(D::Error::custom(format_args!("lists `{capability}` twice")));
        }
    }
    Ok(set)
}

impl Manifest {
    /// A manifest with nothing but what every manifest has.
    #[must_use]
    pub fn new(name: Name, version: Version, uid: u32, gid: u32) -> Manifest {
        Manifest {
            name,
            version,
            init: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            uid,
            gid,
            suppl_groups: Vec::new(),
            userns: false,
            console: None,
            autostart: None,
            sched: None,
            mounts: BTreeMap::new(),
            cgroups: None,
            network: None,
            seccomp: None,
            capabilities: BTreeSet::new(),
            rlimits: BTreeMap::new(),
            selinux: None,
            sockets: BTreeMap::new(),
            io: None,
            custom: None,
        }
    }

    /// Name and version.
    #[must_use]
    pub fn container(&self) -> Container {
        Container::new(self.name.clone(), self.version.clone())
    }

    /// Whether this is a resource: a package without a program of its own.
    #[must_use]
    pub fn is_resource(&self) -> bool {
        self.init.is_none()
    }

    /// Checks every value.
    ///
    /// # Errors
    ///
    /// The first field that has a value that is not allowed.
    pub fn validate(&self) -> Result<(), FieldError> {
        self.validate_resource()?;
        self.init
            .as_deref()
            .map_or(Ok(()), process::validate_init)?;
        process::validate_args(&self.args)?;
        process::validate_env(&self.env)?;
        process::validate_id(&At::field("uid"), self.uid)?;
        process::validate_id(&At::field("gid"), self.gid)?;
        process::validate_groups(&self.suppl_groups)?;
        if let Some(sched) = &self.sched {
            sched.policy.validate(&At::field("sched").key("policy"))?;
        }
        mount::validate(&self.mounts)?;
        if let Some(cgroups) = &self.cgroups {
            cgroups.validate(&At::field("cgroups"))?;
        }
        if let Some(network) = &self.network {
            network.validate(&At::field("network"))?;
        }
        if let Some(seccomp) = &self.seccomp {
            seccomp.validate(&At::field("seccomp"))?;
        }
        rlimit::validate(&self.rlimits)?;
        if let Some(selinux) = &self.selinux {
            selinux.validate(&At::field("selinux"))?;
        }
        socket::validate(&self.sockets)
    }

    /// What only makes sense for a program is refused in a resource, as 0.9.2 does.
    fn validate_resource(&self) -> Checked {
        if !self.is_resource() {
            return Ok(());
        }
        let fields = [
            ("args", !self.args.is_empty()),
            ("env", !self.env.is_empty()),
            ("autostart", self.autostart.is_some()),
            ("cgroups", self.cgroups.is_some()),
            ("seccomp", self.seccomp.is_some()),
            ("capabilities", !self.capabilities.is_empty()),
            ("suppl_groups", !self.suppl_groups.is_empty()),
            ("io", self.io.is_some()),
            ("userns", self.userns),
        ];
        fields.into_iter().try_for_each(|(field, present)| {
            At::field(field).ensure(!present, || Problem::NotInResource)
        })
    }
}
