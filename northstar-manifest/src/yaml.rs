//! `manifest.yaml`: reading and writing.

mod message;
mod tagged;

use serde_saphyr::{DuplicateKeyPolicy, Error, MergeKeyPolicy, Options, budget, options};

use self::{message::Message, tagged::Yaml};
use crate::{
    CGroups, MAX_MANIFEST_DEPTH, MAX_MANIFEST_SIZE, Manifest, ManifestError, WriteError,
    outline::Outline,
};

/// Fields that are needed in a manifest, and in nothing in it that is read field by field.
const OF_EVERY_MANIFEST: &[&str] = &["name", "version", "uid", "gid"];

/// How manifests are read. `outline` has refused most of this with a better message before; the
/// limits here are the second line.
pub(crate) fn reading() -> Options {
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
    /// A `custom` value that YAML cannot express; no such value comes from [`Manifest::from_yaml`]. Or
    /// more than [`MAX_MANIFEST_SIZE`] bytes: what is written may be larger than what was read.
    pub fn to_yaml(&self) -> Result<String, WriteError> {
        let yaml = serde_saphyr::to_string(&Yaml::from(self))
            .map_err(|source| WriteError::Yaml(Box::new(source)))?;
        let (size, limit) = (yaml.len(), MAX_MANIFEST_SIZE);
        match size <= limit {
            true => Ok(yaml),
            false => Err(WriteError::TooLarge { size, limit }),
        }
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
            // The place of this error is the last field that is there, or the mapping if it is empty.
            Error::SerdeMissingField { field, .. } if !OF_EVERY_MANIFEST.contains(field) => {
                outline.mapping_around(line, column)
            }
            Error::SerdeMissingField { .. } => String::new(),
            _ => outline.field_at(line, column),
        }
    });
    let mut message = error.without_snippet().render_with_formatter(&Message);
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
