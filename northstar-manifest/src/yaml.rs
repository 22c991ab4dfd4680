//! `manifest.yaml`: reading and writing.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use semver::Version;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_saphyr::{
    DuplicateKeyPolicy, Error, MergeKeyPolicy, Options, Tagged, UserMessageFormatter, budget,
    options,
};

use crate::{
    Autostart, CGroups, Capability, Console, Io, MAX_MANIFEST_DEPTH, MAX_MANIFEST_SIZE, Manifest,
    ManifestError, Mount, Name, Network, Policy, Profile, RlimitKind, RlimitValue, Rule, Sched,
    Seccomp, Selinux, Socket, outline::Outline, sched::PolicyParameters,
};

/// How manifests are read. `outline` has refused most of this with a better message before; the
/// limits here are the second line.
fn reading() -> Options {
    options! {
        budget: budget! {
            max_aliases: 0,
            max_anchors: 0,
            max_documents: 1,
            max_merge_keys: 0,
            max_depth: MAX_MANIFEST_DEPTH,
            max_total_scalar_bytes: MAX_MANIFEST_SIZE,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    }
}

impl Manifest {
    /// Reads and checks the `manifest.yaml` of a package.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] names the line and the field, and says what is allowed.
    pub fn from_yaml(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let (size, limit) = (bytes.len(), MAX_MANIFEST_SIZE);
        if size > limit {
            return Err(ManifestError::TooLarge { size, limit });
        }
        let text =
            std::str::from_utf8(bytes).map_err(|source| ManifestError::NotUtf8 { source })?;
        let outline = Outline::read(text)?;
        let mut manifest: Manifest = serde_saphyr::from_str_with_options(text, reading())
            .map_err(|error| type_error(&error, &outline))?;
        restore_empty(&mut manifest, &outline);
        manifest.validate().map_err(|mut error| {
            error.line = outline.line_of(&error.field);
            error
        })?;
        Ok(manifest)
    }

    /// The manifest as a package carries it: the same for equal manifests, and readable by 0.9.2
    /// as far as [`Manifest::differences`] finds nothing.
    ///
    /// # Errors
    ///
    /// A `custom` value that YAML cannot express; no such value comes from [`Manifest::from_yaml`].
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::SerializeError> {
        serde_saphyr::to_string(&Yaml::from(self))
    }
}

/// The parser gives an omitted value (`EMPTY:`) as `~`, the same as the one that is written; as a
/// string it is empty.
fn restore_empty(manifest: &mut Manifest, outline: &Outline) {
    fn restore<'a>(values: impl Iterator<Item = (String, &'a mut String)>, outline: &Outline) {
        for (field, value) in values {
            if outline.is_omitted(&field) {
                value.clear();
            }
        }
    }
    let args = manifest.args.iter_mut().enumerate();
    restore(args.map(|(i, arg)| (format!("args.{i}"), arg)), outline);
    restore(
        manifest
            .env
            .iter_mut()
            .map(|(k, v)| (format!("env.{k}"), v)),
        outline,
    );
    if let Some(CGroups {
        cpu, memory, blkio, ..
    }) = &mut manifest.cgroups
    {
        let controllers = [
            ("cpu", cpu.as_mut().map(|cpu| &mut cpu.attrs)),
            ("memory", memory.as_mut().map(|memory| &mut memory.attrs)),
            ("blkio", blkio.as_mut().map(|blkio| &mut blkio.attrs)),
        ];
        for (controller, attributes) in controllers {
            let attributes = attributes.into_iter().flatten();
            let field = |k: &str| format!("cgroups.{controller}.attrs.{k}");
            restore(attributes.map(|(k, v)| (field(k), v)), outline);
        }
    }
}

fn type_error(error: &Error, outline: &Outline) -> ManifestError {
    let location = error.location();
    let line = location.map(|location| location.line());
    let field = location.map(|location| {
        let (line, column) = (location.line(), location.column());
        match error.without_snippet() {
            // The place of this error is the last field that is there.
            Error::SerdeMissingField { .. } => outline.mapping_at(line, column),
            _ => outline.field_at(line, column),
        }
    });
    let mut message = error
        .without_snippet()
        .render_with_formatter(&UserMessageFormatter);
    if let Some(location) = location {
        // The place comes first in our messages.
        let suffix = format!(" at line {}, column {}", location.line(), location.column());
        message.truncate(
            message
                .strip_suffix(&suffix)
                .map_or(message.len(), str::len),
        );
    }
    ManifestError::Type {
        field: field.unwrap_or_default(),
        line,
        message,
    }
}

/// The manifest in the order and with the tags of the file. It differs from the JSON in the
/// enums with a payload, which 0.9.2 reads from YAML as `!word payload` only.
#[derive(Serialize)]
struct Yaml<'a> {
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
    custom: Option<&'a serde_json::Value>,
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
            custom: custom.as_ref(),
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
