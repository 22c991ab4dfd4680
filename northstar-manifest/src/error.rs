//! Why a manifest is refused.

use std::fmt;

use thiserror::Error;

/// Why a manifest is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Larger than [`MAX_MANIFEST_SIZE`](crate::MAX_MANIFEST_SIZE).
    #[error("manifest of {size} bytes is too large: at most {limit} bytes are allowed")]
    TooLarge {
        /// Size of the refused manifest in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("manifest is not UTF-8 text")]
    NotUtf8 {
        /// Where the first wrong byte is.
        #[source]
        source: std::str::Utf8Error,
    },
    /// YAML that cannot be read at all.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Line, counted from 1.
        line: u64,
        /// Column, counted from 1.
        column: u64,
        /// What the YAML parser says.
        message: String,
    },
    /// A YAML construct that manifests must not use.
    #[error("{}{construct}", Place { line: Some(*line), field })]
    Construct {
        /// The field, for example `mounts./data.host`; empty for the manifest itself.
        field: String,
        /// Line, counted from 1.
        line: u64,
        /// What was used.
        construct: Construct,
    },
    /// A field that is unknown, missing or of the wrong type.
    #[error("{}{message}", Place { line: *line, field })]
    Type {
        /// The field, for example `mounts./data.host`; empty for the manifest itself.
        field: String,
        /// Line, counted from 1, if known.
        line: Option<u64>,
        /// What was found and what is allowed.
        message: String,
    },
    /// A field whose value is not allowed.
    #[error(transparent)]
    Field(#[from] FieldError),
}

/// Why a manifest is not written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A value that YAML cannot express.
    #[error("the manifest cannot be written as YAML")]
    Yaml(#[source] Box<serde_saphyr::SerializeError>),
    /// Written out it is larger than [`MAX_MANIFEST_SIZE`](crate::MAX_MANIFEST_SIZE).
    #[error("the manifest is {size} bytes when written out: at most {limit} bytes are allowed")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

/// A YAML construct that manifests must not use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Construct {
    /// `&name`
    #[error("anchors (`&name`) are not allowed")]
    Anchor,
    /// `*name`
    #[error("aliases (`*name`) are not allowed")]
    Alias,
    /// `!name` where it has no meaning.
    #[error("the tag `{tag}` is not allowed here{}", Allowed(allowed))]
    Tag {
        /// The tag as it resolves.
        tag: String,
        /// The tags that are allowed there, without their `!`.
        allowed: &'static [&'static str],
    },
    /// `<<`
    #[error("merge keys (`<<`) are not allowed")]
    MergeKey,
    /// A key that is a mapping or a sequence.
    #[error("a key must be a plain value")]
    ComplexKey,
    /// A mapping where one plain value belongs.
    #[error("one plain value is needed here, not a mapping")]
    Mapping,
    /// A second `---` document.
    #[error("more than one document is not allowed")]
    MultipleDocuments,
    /// Mappings and sequences inside each other beyond the limit.
    #[error("nested deeper than {limit} levels")]
    Depth {
        /// The limit.
        limit: usize,
    },
}

/// A field whose value is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{problem}", Place { line: *line, field })]
pub struct FieldError {
    /// The field, for example `mounts./data.host`.
    pub field: String,
    /// Line of the field, counted from 1, if the manifest came from text.
    pub line: Option<u64>,
    /// What is wrong with it.
    pub problem: Problem,
}

/// The `line 3: field: ` in front of a message.
struct Place<'a> {
    line: Option<u64>,
    field: &'a str,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "`{}`: ", self.field)?;
        }
        Ok(())
    }
}

/// The tags that are allowed, behind a message.
struct Allowed<'a>(&'a [&'a str]);

impl fmt::Display for Allowed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, tag) in self.0.iter().enumerate() {
            let before = if i == 0 { ": allowed are " } else { ", " };
            write!(f, "{before}`!{tag}`")?;
        }
        Ok(())
    }
}

/// What is wrong with the value of a field, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// An empty string where something is needed.
    #[error("must not be empty")]
    Empty,
    /// A NUL byte, which no path, argument or variable can carry.
    #[error("must not contain a NUL byte")]
    Nul,
    /// A string beyond its limit.
    #[error("is {length} bytes long: at most {limit} are allowed")]
    TooLong {
        /// Length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A list or map beyond its limit.
    #[error("has {count} entries: at most {limit} are allowed")]
    TooMany {
        /// Number of entries.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A number out of range.
    #[error("is {value}: {min} to {max} is allowed")]
    OutOfRange {
        /// The value.
        value: i128,
        /// Smallest allowed value.
        min: i128,
        /// Largest allowed value.
        max: i128,
    },
    /// A character that is not allowed.
    #[error("contains {character:?}: allowed are {allowed}")]
    Character {
        /// The refused character.
        character: char,
        /// The allowed characters in words.
        allowed: &'static str,
    },
    /// A path that does not start with `/`.
    #[error("`{path}` must be an absolute path")]
    NotAbsolute {
        /// The path.
        path: String,
    },
    /// A path that starts with `/`.
    #[error("`{path}` must be a relative path")]
    NotRelative {
        /// The path.
        path: String,
    },
    /// A path with a `.` or `..` component.
    #[error("`{path}` must not contain `.` or `..`")]
    DotComponent {
        /// The path.
        path: String,
    },
    /// A mount on the root of the container.
    #[error("`/` is the package itself and cannot be a mount point")]
    RootMount,
    /// A name that the runtime keeps for itself.
    #[error("is reserved for the runtime")]
    Reserved,
    /// The same entry twice.
    #[error("lists `{entry}` twice")]
    Duplicate {
        /// The entry.
        entry: String,
    },
    /// A field that resources (packages without `init`) do not have.
    #[error("is not allowed in a resource, that is a package without `init`")]
    NotInResource,
    /// A mount option that this kind of mount does not have.
    #[error("the mount option `{option}` is not allowed for a {mount} mount")]
    MountOption {
        /// The option.
        option: &'static str,
        /// The kind of the mount.
        mount: &'static str,
    },
    /// None of several fields, of which one is needed.
    #[error("needs {fields}")]
    NeedsOneOf {
        /// The fields in words.
        fields: &'static str,
    },
    /// A soft limit above its hard limit.
    #[error("the soft limit is above the hard limit {hard}")]
    SoftAboveHard {
        /// The hard limit.
        hard: u64,
    },
    /// Deadline parameters in the wrong order.
    #[error("runtime <= deadline <= period is needed")]
    DeadlineOrder,
}
