//! What `Cargo.toml` says: the crate, and its section `[package.metadata.npk]`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use northstar_manifest::Manifest;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cli;

/// The section as it is written. Paths are relative to the directory of `Cargo.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Section {
    /// A path, or the manifest itself.
    manifest: Option<ManifestField>,
    /// Directory with further content of the image.
    root: Option<PathBuf>,
    /// Further files.
    assets: Vec<Asset>,
    bin: Option<String>,
    target: Option<TargetField>,
    profile: Option<String>,
    features: Vec<String>,
    no_default_features: bool,
    key: Option<PathBuf>,
    compression: Option<String>,
    block_size: Option<u32>,
    /// Whether dynamic libraries go into the image.
    libs: bool,
    /// Where to look for them first.
    lib_dirs: Vec<PathBuf>,
    sbom: Option<PathBuf>,
    out: Option<PathBuf>,
}

/// What one target has in place of the section's own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Override {
    manifest: Option<ManifestField>,
    root: Option<PathBuf>,
    assets: Option<Vec<Asset>>,
    features: Option<Vec<String>>,
    libs: Option<bool>,
    lib_dirs: Option<Vec<PathBuf>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum ManifestField {
    Path(PathBuf),
    Inline(Map<String, Value>),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum TargetField {
    /// What to build for.
    Default(String),
    /// What is different for each target.
    Each(BTreeMap<String, Override>),
}

/// A file or directory that is copied into the image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Asset {
    /// On this machine.
    pub source: PathBuf,
    /// Absolute path in the image.
    pub target: PathBuf,
    /// Permission bits as chmod(1) has them, in place of those of the file.
    pub mode: Option<String>,
}

/// Everything that is known before cargo builds.
#[derive(Debug)]
pub(crate) struct Settings {
    pub manifest: Manifest,
    pub root: Option<PathBuf>,
    pub assets: Vec<Asset>,
    /// The crate.
    pub cargo_toml: PathBuf,
    pub package: Package,
    pub bin: String,
    pub target: Option<String>,
    pub profile: Option<String>,
    pub features: Vec<String>,
    pub no_default_features: bool,
    pub libs: bool,
    pub lib_dirs: Vec<PathBuf>,
    pub key: Option<PathBuf>,
    pub compression: Option<String>,
    pub block_size: Option<u32>,
    pub sbom: Option<PathBuf>,
    pub out: Option<PathBuf>,
    /// Cargo's directory for what is built.
    pub target_directory: PathBuf,
}

impl Settings {
    /// Asks cargo about the crate, and lets the command line go before its `Cargo.toml`.
    pub(crate) fn read(arguments: &cli::Pack) -> anyhow::Result<Settings> {
        let metadata = metadata(arguments)?;
        let package = package(&metadata, arguments)?;
        let cargo_toml = package.manifest_path.clone().into_std_path_buf();
        let mut section = section(package, &cargo_toml)?;
        let target = apply_target(&mut section, arguments.target.as_deref());

        let directory = cargo_toml.parent().unwrap_or(Path::new("/")).to_owned();
        let inside = |path: PathBuf| directory.join(path);
        let field = section.manifest.take().with_context(|| {
            format!(
                "[package.metadata.npk] of {} has no manifest: write manifest = \"manifest.yaml\", or the \
                 manifest itself as a table",
                cargo_toml.display()
            )
        })?;
        let mut features = section.features;
        features.extend(arguments.features.iter().cloned());
        let profile = match arguments.release {
            true => Some("release".to_owned()),
            false => arguments.profile.clone().or(section.profile),
        };
        let mut lib_dirs = arguments.lib_dir.clone();
        lib_dirs.extend(section.lib_dirs.into_iter().map(inside));
        let assets = section.assets.into_iter().map(|asset| Asset {
            source: directory.join(asset.source),
            ..asset
        });
        Ok(Settings {
            manifest: manifest(field, package, &directory)?,
            root: section.root.map(inside),
            assets: assets.collect(),
            bin: bin(package, arguments.bin.clone().or(section.bin))?,
            target,
            profile,
            features,
            no_default_features: arguments.no_default_features || section.no_default_features,
            libs: arguments.libs || section.libs,
            lib_dirs,
            key: arguments.key.clone().or(section.key.map(inside)),
            compression: section.compression,
            block_size: arguments.block_size.or(section.block_size),
            sbom: arguments.sbom.clone().or(section.sbom.map(inside)),
            out: arguments.out.clone().or(section.out.map(inside)),
            target_directory: metadata.target_directory.clone().into_std_path_buf(),
            package: package.clone(),
            cargo_toml,
        })
    }
}

fn metadata(arguments: &cli::Pack) -> anyhow::Result<Metadata> {
    let mut command = MetadataCommand::new();
    command.no_deps();
    if let Some(path) = &arguments.manifest_path {
        command.manifest_path(path);
    }
    let flags = [
        ("--locked", arguments.locked),
        ("--offline", arguments.offline),
    ];
    let flags = flags.into_iter().filter(|(_, given)| *given);
    command.other_options(flags.map(|(flag, _)| flag.to_owned()).collect::<Vec<_>>());
    command.exec().context("cargo cannot tell about the crate")
}

/// The crate that is meant: the one that was named, or that of the current directory, or the only one.
fn package<'a>(metadata: &'a Metadata, arguments: &cli::Pack) -> anyhow::Result<&'a Package> {
    let members = metadata.workspace_packages();
    if let Some(name) = &arguments.package {
        let found = members.iter().find(|package| package.name.as_str() == name);
        return found
            .copied()
            .with_context(|| format!("there is no crate {name} in the workspace"));
    }
    let here = match &arguments.manifest_path {
        Some(path) => path.parent().unwrap_or(Path::new("")),
        None => Path::new(""),
    };
    let here = Path::new(".")
        .join(here)
        .canonicalize()
        .context("there is no such directory")?;
    let around = |package: &&&Package| {
        let directory = package
            .manifest_path
            .parent()
            .map(|path| path.as_std_path());
        let directory = directory.and_then(|path| path.canonicalize().ok());
        directory.is_some_and(|directory| here.starts_with(directory))
    };
    // A crate may lie within another: the innermost is meant.
    let innermost = members
        .iter()
        .filter(around)
        .max_by_key(|package| package.manifest_path.components().count());
    match (innermost, members.as_slice()) {
        (Some(package), _) => Ok(package),
        (None, [package]) => Ok(package),
        _ => bail!("there are several crates in the workspace: name one with --package"),
    }
}

fn section(package: &Package, cargo_toml: &Path) -> anyhow::Result<Section> {
    let path = cargo_toml.display();
    let section = package.metadata.get("npk").with_context(|| {
        format!("{path} has no section [package.metadata.npk], which says what to pack")
    })?;
    Section::deserialize(section)
        .with_context(|| format!("invalid section [package.metadata.npk] in {path}"))
}

/// Finds out what to build for, and takes over what is different for it.
fn apply_target(section: &mut Section, argument: Option<&str>) -> Option<String> {
    let (target, each) = match section.target.take() {
        None => (argument.map(str::to_owned), BTreeMap::new()),
        Some(TargetField::Default(target)) => (
            Some(argument.map_or(target, str::to_owned)),
            BTreeMap::new(),
        ),
        Some(TargetField::Each(each)) => (argument.map(str::to_owned), each),
    };
    let chosen = target.as_ref().and_then(|target| each.get(target).cloned());
    if let Some(chosen) = chosen {
        section.manifest = chosen.manifest.or(section.manifest.take());
        section.root = chosen.root.or(section.root.take());
        let replace = |field: &mut Vec<_>, by: Option<Vec<_>>| {
            if let Some(by) = by {
                *field = by;
            }
        };
        replace(&mut section.features, chosen.features);
        section.assets = chosen.assets.unwrap_or(std::mem::take(&mut section.assets));
        section.lib_dirs = chosen
            .lib_dirs
            .unwrap_or(std::mem::take(&mut section.lib_dirs));
        section.libs = chosen.libs.unwrap_or(section.libs);
    }
    target
}

/// Reads the manifest. One that stands in `Cargo.toml` has the crate's name and version unless it has its own.
fn manifest(field: ManifestField, package: &Package, directory: &Path) -> anyhow::Result<Manifest> {
    let mut map = match field {
        ManifestField::Path(path) => return sextant::packing::read_manifest(&directory.join(path)),
        ManifestField::Inline(map) => map,
    };
    let defaults = [
        ("name", package.name.to_string()),
        ("version", package.version.to_string()),
    ];
    for (field, value) in defaults {
        map.entry(field).or_insert(Value::String(value));
    }
    // JSON is YAML: this way it is checked like any other, with the names of the fields.
    let json = serde_json::to_vec(&map)?;
    Manifest::from_yaml(&json).context("invalid manifest in [package.metadata.npk]")
}

/// The program to build, if there is no doubt about it.
fn bin(package: &Package, wanted: Option<String>) -> anyhow::Result<String> {
    let programs = package.targets.iter().filter(|target| target.is_bin());
    let names: Vec<&str> = programs.map(|target| target.name.as_str()).collect();
    match (wanted, names.as_slice()) {
        (Some(name), names) if names.contains(&name.as_str()) => Ok(name),
        (Some(name), _) => Err(anyhow!("crate {} has no program {name}", package.name)),
        (None, [name]) => Ok((*name).to_owned()),
        (None, []) => Err(anyhow!("crate {} has no program to pack", package.name)),
        (None, names) => Err(anyhow!(
            "crate {} has several programs: name one of {} with --bin",
            package.name,
            names.join(", ")
        )),
    }
}
