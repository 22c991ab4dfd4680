//! The bill of materials of a package: what it is made of, as CycloneDX or SPDX has it.
//!
//! It travels inside the image, as `/sbom.cdx.json` or `/sbom.spdx.json`, and the manifest vouches for
//! it under the key `sbom` of its `custom` section:
//!
//! ```yaml
//! custom:
//!   sbom:
//!     format: cyclonedx        # or spdx
//!     version: "1.6"           # of the format
//!     path: /sbom.cdx.json     # in the image
//!     sha256: 6e0c…            # of that file, 64 hexadecimal digits
//! ```

mod document;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use northstar_manifest::Manifest;
use northstar_npk::Package;
use northstar_npk::squashfs::{self, SquashfsError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use self::document::{Document, List};

/// Key in the manifest's `custom` section.
pub const KEY: &str = "sbom";

/// Largest bill of materials in bytes.
pub const LIMIT: u64 = 32 * 1024 * 1024;

/// Versions of CycloneDX that have a JSON form (<https://cyclonedx.org/specification/overview/>).
const CYCLONE_DX: &[&str] = &["1.2", "1.3", "1.4", "1.5", "1.6", "1.7"];
/// Versions of SPDX that are a JSON document with a list of packages (<https://spdx.dev/specifications/>).
const SPDX_2: &[&str] = &["2.2", "2.3"];
/// Versions of SPDX that are a graph in JSON-LD.
const SPDX_3: &[&str] = &["3.0.0", "3.0.1"];

/// The format of a bill of materials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// <https://cyclonedx.org>
    CycloneDx,
    /// <https://spdx.dev>
    Spdx,
}

impl Format {
    /// Where a bill of this format is in an image.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Format::CycloneDx => "/sbom.cdx.json",
            Format::Spdx => "/sbom.spdx.json",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::CycloneDx => "CycloneDX",
            Format::Spdx => "SPDX",
        })
    }
}

/// What is wrong with a bill of materials, or with what a package says about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SbomError {
    /// The file cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// Larger than [`LIMIT`].
    #[error("a bill of materials has at most {LIMIT} bytes")]
    TooLarge,
    /// Not JSON.
    #[error("a bill of materials is JSON")]
    Json(#[source] serde_json::Error),
    /// JSON, but of no format that is known.
    #[error(
        "neither CycloneDX (`bomFormat: CycloneDX` and `specVersion`) nor SPDX (`spdxVersion`, or a \
         `@context` of SPDX 3)"
    )]
    Format,
    /// A version of the format that is not known.
    #[error("{format} {version} is not known: known are {}", known.join(", "))]
    Version {
        /// The format.
        format: Format,
        /// The version as it is written.
        version: String,
        /// The versions that are known.
        known: Vec<&'static str>,
    },
    /// A field that is not what the format says.
    #[error("the field `{field}` of {format} {version} is not a list")]
    NotAList {
        /// The format.
        format: Format,
        /// Its version.
        version: String,
        /// The field.
        field: &'static str,
    },
    /// There is a `custom` section in the manifest to which nothing can be added.
    #[error(
        "`custom` of the manifest is not a map, so that there is no place for the key `{KEY}` in it"
    )]
    CustomNotAMap,
    /// The key is there already.
    #[error("`custom.{KEY}` is in the manifest already: leave it out, it is written when packing")]
    CustomTaken,
    /// What the manifest says is not of the documented form.
    #[error("`custom.{KEY}` of the manifest is not of the documented form")]
    Record(#[source] serde_json::Error),
    /// The file is not in the image.
    #[error("there is no file {} in the image, which `custom.{KEY}` names", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file in the image is another one.
    #[error("{} has the sha256 {found}, and not {expected} as in `custom.{KEY}`", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// What the manifest says.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The file in the image is of another format or version.
    #[error("{} is {found}, and not {expected} as in `custom.{KEY}`", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// Format and version as the manifest says.
        expected: String,
        /// What they are.
        found: String,
    },
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] SquashfsError),
}

/// A bill of materials whose format is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sbom {
    /// The document.
    pub bytes: Vec<u8>,
    /// Its format.
    pub format: Format,
    /// Version of the format.
    pub version: String,
    /// How many components (CycloneDX) or packages (SPDX) it lists.
    pub components: usize,
}

/// What a manifest says about the bill of materials in the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its format.
    pub format: Format,
    /// Version of the format.
    pub version: String,
    /// Absolute path in the image.
    pub path: PathBuf,
    /// SHA-256 of the file in lower-case hexadecimal digits.
    pub sha256: String,
}

impl Sbom {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// It cannot be read, is too large, or is none of the known formats.
    pub fn read(path: &Path) -> Result<Sbom, SbomError> {
        let failed = |source| SbomError::Read {
            path: path.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        Sbom::parse(bytes)
    }

    /// Finds out what `bytes` are.
    ///
    /// # Errors
    ///
    /// As [`Sbom::read`].
    pub fn parse(bytes: Vec<u8>) -> Result<Sbom, SbomError> {
        if bytes.len() as u64 > LIMIT {
            return Err(SbomError::TooLarge);
        }
        let document = Document::read(&bytes)?;
        let (format, version, components) = recognise(&document)?;
        Ok(Sbom {
            bytes,
            format,
            version,
            components,
        })
    }

    /// What the manifest says about it.
    #[must_use]
    pub fn record(&self) -> Record {
        Record {
            format: self.format,
            version: self.version.clone(),
            path: self.format.path().into(),
            sha256: hex::encode(Sha256::digest(&self.bytes)),
        }
    }

    /// Makes the manifest vouch for it.
    ///
    /// # Errors
    ///
    /// There is a `custom` section that is not a map, or has the key already.
    pub fn add_to(&self, manifest: &mut Manifest) -> Result<(), SbomError> {
        let custom = manifest
            .custom
            .get_or_insert_with(|| Value::Object(Map::new()));
        let map = custom.as_object_mut().ok_or(SbomError::CustomNotAMap)?;
        if map.contains_key(KEY) {
            return Err(SbomError::CustomTaken);
        }
        let record = serde_json::to_value(self.record()).map_err(SbomError::Record)?;
        map.insert(KEY.to_owned(), record);
        Ok(())
    }

    /// The bill of materials in a package, checked against what the manifest says about it; `None` if
    /// the manifest says nothing.
    ///
    /// # Errors
    ///
    /// What the manifest says is not true.
    pub fn of(file: &File, package: &Package) -> Result<Option<Sbom>, SbomError> {
        let Some(record) = Record::of(package.manifest())? else {
            return Ok(None);
        };
        let path = &record.path;
        let found = squashfs::read_file(file, package.image(), path, LIMIT)?;
        let bytes = found.ok_or_else(|| SbomError::Missing { path: path.clone() })?;
        let sha256 = hex::encode(Sha256::digest(&bytes));
        if sha256 != record.sha256 {
            return Err(SbomError::Digest {
                path: path.clone(),
                expected: record.sha256,
                found: sha256,
            });
        }
        let sbom = Sbom::parse(bytes)?;
        if (sbom.format, &sbom.version) != (record.format, &record.version) {
            return Err(SbomError::Kind {
                found: format!("{} {}", sbom.format, sbom.version),
                expected: format!("{} {}", record.format, record.version),
                path: record.path,
            });
        }
        Ok(Some(sbom))
    }
}

impl Record {
    /// What a manifest says. The key may be another's: what is no map is not meant here.
    ///
    /// # Errors
    ///
    /// There is a map that is not of the documented form.
    pub fn of(manifest: &Manifest) -> Result<Option<Record>, SbomError> {
        let record = manifest.custom.as_ref().and_then(|custom| custom.get(KEY));
        match record {
            Some(record @ Value::Object(_)) => Record::deserialize(record)
                .map(Some)
                .map_err(SbomError::Record),
            _ => Ok(None),
        }
    }
}

/// Format, version and number of components.
fn recognise(document: &Document) -> Result<(Format, String, usize), SbomError> {
    if document.bom_format.is("CycloneDX") {
        let version = document.spec_version.text().unwrap_or_default();
        known(Format::CycloneDx, version, &[CYCLONE_DX])?;
        let list = &document.components;
        let count = count(list, "components", Format::CycloneDx, version)?;
        return Ok((Format::CycloneDx, version.to_owned(), count.all));
    }
    if let Some(version) = document.spdx_version.text() {
        let version = version.strip_prefix("SPDX-").unwrap_or(version);
        known(Format::Spdx, version, &[SPDX_2, SPDX_3])?;
        let count = count(&document.packages, "packages", Format::Spdx, version)?;
        return Ok((Format::Spdx, version.to_owned(), count.all));
    }
    // https://spdx.github.io/spdx-spec/v3.0.1/serializations/
    let context = document.context.text();
    let context = context.and_then(|url| url.strip_prefix("https://spdx.org/rdf/"));
    let version = context.and_then(|rest| rest.strip_suffix("/spdx-context.jsonld"));
    let version = version.ok_or(SbomError::Format)?;
    known(Format::Spdx, version, &[SPDX_2, SPDX_3])?;
    let count = count(&document.graph, "@graph", Format::Spdx, version)?;
    Ok((Format::Spdx, version.to_owned(), count.packages))
}

fn known(format: Format, version: &str, known: &[&[&'static str]]) -> Result<(), SbomError> {
    let known = known.concat();
    match known.contains(&version) {
        true => Ok(()),
        false => Err(SbomError::Version {
            format,
            version: version.to_owned(),
            known,
        }),
    }
}

/// How many entries a list has; one that is not there is empty.
fn count(
    list: &List,
    field: &'static str,
    format: Format,
    version: &str,
) -> Result<document::Count, SbomError> {
    match list {
        List::Absent => Ok(document::Count::default()),
        List::Entries(count) => Ok(*count),
        List::Other => Err(SbomError::NotAList {
            format,
            version: version.to_owned(),
            field,
        }),
    }
}
