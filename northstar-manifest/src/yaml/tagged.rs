//! The shape of the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use semver::Version;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;
use serde_saphyr::Tagged;

use crate::{
    Autostart, CGroups, Capability, Console, Io, Manifest, Mount, Name, Network, Policy, Profile,
    RlimitKind, RlimitValue, Rule, Sched, Seccomp, Selinux, Socket, manifest::is_false,
    sched::PolicyParameters,
};

/// The manifest in the order and with the tags of the file. It differs from the JSON in the
/// enums with a payload, which 0.9.2 reads from YAML as `!word payload` only.
#[derive(Serialize)]
pub(super) struct Yaml<'a> {
    name: &'a Name,
    version: &'a Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    init: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    args: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: &'a BTreeMap<String, String>,
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    suppl_groups: &'a [String],
    #[serde(skip_serializing_if = "is_false")]
    userns: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    console: Option<&'a Console>,
    #[serde(skip_serializing_if = "Option::is_none")]
    autostart: Option<Autostart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sched: Option<YamlSched<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    mounts: &'a BTreeMap<PathBuf, Mount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroups: Option<&'a CGroups>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<YamlNetwork<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seccomp: Option<YamlSeccomp<'a>>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    capabilities: &'a BTreeSet<Capability>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rlimits: &'a BTreeMap<RlimitKind, RlimitValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selinux: Option<&'a Selinux>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sockets: &'a BTreeMap<String, Socket>,
    #[serde(skip_serializing_if = "Option::is_none")]
    io: Option<&'a Io>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<Sorted<'a>>,
}

impl<'a> From<&'a Manifest> for Yaml<'a> {
    fn from(manifest: &'a Manifest) -> Yaml<'a> {
        // Without `..`, so that a new field cannot be forgotten here.
        let Manifest {
            name,
            version,
            init,
            args,
            env,
            uid,
            gid,
            suppl_groups,
            userns,
            console,
            autostart,
            sched,
            mounts,
            cgroups,
            network,
            seccomp,
            capabilities,
            rlimits,
            selinux,
            sockets,
            io,
            custom,
        } = manifest;
        Yaml {
            name,
            version,
            init: init.as_deref(),
            args,
            env,
            uid: *uid,
            gid: *gid,
            suppl_groups,
            userns: *userns,
            console: console.as_ref(),
            autostart: *autostart,
            sched: sched.as_ref().map(|Sched { policy }| YamlSched {
                policy: YamlPolicy(policy),
            }),
            mounts,
            cgroups: cgroups.as_ref(),
            network: network.as_ref().map(YamlNetwork),
            seccomp: seccomp.as_ref().map(YamlSeccomp::from),
            capabilities,
            rlimits,
            selinux: selinux.as_ref(),
            sockets,
            io: io.as_ref(),
            custom: custom.as_ref().map(Sorted),
        }
    }
}

fn tagged<T: Serialize, S: Serializer>(
    tag: &str,
    value: T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    Tagged(value, Some(format!("!{tag}"))).serialize(serializer)
}

#[derive(Serialize)]
struct YamlSched<'a> {
    policy: YamlPolicy<'a>,
}

struct YamlPolicy<'a>(&'a Policy);

impl Serialize for YamlPolicy<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Policy::Idle | Policy::Deadline(None) => self.0.serialize(serializer),
            policy => tagged(policy.word(), PolicyParameters(policy), serializer),
        }
    }
}

struct YamlNetwork<'a>(&'a Network);

impl Serialize for YamlNetwork<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Network::Host => self.0.serialize(serializer),
            Network::Namespace(name) => tagged("namespace", name, serializer),
        }
    }
}

#[derive(Serialize)]
struct YamlSeccomp<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Profile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow: Option<YamlRules<'a>>,
}

impl<'a> From<&'a Seccomp> for YamlSeccomp<'a> {
    fn from(seccomp: &'a Seccomp) -> YamlSeccomp<'a> {
        YamlSeccomp {
            profile: seccomp.profile,
            allow: seccomp.allow.as_ref().map(YamlRules),
        }
    }
}

struct YamlRules<'a>(&'a BTreeMap<String, Rule>);

impl Serialize for YamlRules<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, rule) in self.0 {
            match rule {
                Rule::Any => map.serialize_entry(name, rule)?,
                Rule::Args(rule) => {
                    map.serialize_entry(name, &Tagged(rule, Some("!args".to_owned())))?;
                }
            }
        }
        map.end()
    }
}

/// A value with the keys of its maps in order. Whether `serde_json` keeps them in order is up to a
/// feature of it that any crate may switch.
struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(map) => {
                let map: BTreeMap<&String, &Value> = map.iter().collect();
                serializer.collect_map(map.into_iter().map(|(key, value)| (key, Sorted(value))))
            }
            Value::Array(list) => serializer.collect_seq(list.iter().map(Sorted)),
            value => value.serialize(serializer),
        }
    }
}
