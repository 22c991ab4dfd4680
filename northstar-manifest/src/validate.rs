//! The vocabulary of the field checks: a place in the manifest, and the checks many fields share.

use std::{
    fmt::Display,
    path::{Component, Path},
};

use crate::error::{FieldError, Problem};

/// Result of a check.
pub(crate) type Checked = Result<(), FieldError>;

/// A place in the manifest, written as keys joined by dots.
#[derive(Clone, Debug)]
pub(crate) struct At(String);

impl At {
    /// A field of the manifest itself.
    pub(crate) fn field(name: &str) -> At {
        At(name.to_owned())
    }

    /// An entry below this place.
    pub(crate) fn key(&self, key: impl Display) -> At {
        At(format!("{}.{key}", self.0))
    }

    /// The error that says `problem` about this place.
    pub(crate) fn refuse(&self, problem: Problem) -> FieldError {
        FieldError {
            field: self.0.clone(),
            line: None,
            problem,
        }
    }

    /// `Err(problem)` unless `condition` holds.
    pub(crate) fn ensure(&self, condition: bool, problem: impl FnOnce() -> Problem) -> Checked {
        if condition {
            Ok(())
        } else {
            Err(self.refuse(problem()))
        }
    }

    /// At most `limit` entries.
    pub(crate) fn at_most(&self, count: usize, limit: usize) -> Checked {
        self.ensure(count <= limit, || Problem::TooMany { count, limit })
    }

    /// Between `min` and `max`, both included.
    pub(crate) fn range<T: Into<i128>>(&self, value: T, min: i128, max: i128) -> Checked {
        let value = value.into();
        self.ensure((min..=max).contains(&value), || Problem::OutOfRange {
            value,
            min,
            max,
        })
    }

    /// As [`At::range`], if there is a value.
    pub(crate) fn optional<T: Into<i128>>(
        &self,
        value: Option<T>,
        min: i128,
        max: i128,
    ) -> Checked {
        value.map_or(Ok(()), |value| self.range(value, min, max))
    }

    /// No NUL byte and at most `limit` bytes; may be empty.
    pub(crate) fn text(&self, text: &str, limit: usize) -> Checked {
        self.ensure(!text.contains('\0'), || Problem::Nul)?;
        self.ensure(text.len() <= limit, || Problem::TooLong {
            length: text.len(),
            limit,
        })
    }

    /// As [`At::text`], but not empty.
    pub(crate) fn filled(&self, text: &str, limit: usize) -> Checked {
        self.ensure(!text.is_empty(), || Problem::Empty)?;
        self.text(text, limit)
    }

    /// Only characters that `is_allowed`, which `allowed` names in words.
    pub(crate) fn characters(
        &self,
        text: &str,
        is_allowed: impl Fn(char) -> bool,
        allowed: &'static str,
    ) -> Checked {
        match text.chars().find(|c| !is_allowed(*c)) {
            Some(character) => Err(self.refuse(Problem::Character { character, allowed })),
            None => Ok(()),
        }
    }

    /// An absolute path without `.` and `..`.
    pub(crate) fn absolute(&self, path: &Path) -> Checked {
        let text = path.to_string_lossy();
        self.filled(&text, PATH_MAX)?;
        self.ensure(path.is_absolute(), || Problem::NotAbsolute {
            path: text.to_string(),
        })?;
        self.no_dots(&text)
    }

    /// A relative path without `.` and `..`.
    pub(crate) fn relative(&self, path: &Path) -> Checked {
        let text = path.to_string_lossy();
        self.filled(&text, PATH_MAX)?;
        let relative = !path.components().any(|c| matches!(c, Component::RootDir));
        self.ensure(relative, || Problem::NotRelative {
            path: text.to_string(),
        })?;
        self.no_dots(&text)
    }

    /// `Path::components` swallows `.`, so the text is looked at.
    fn no_dots(&self, path: &str) -> Checked {
        let clean = path.split('/').all(|part| part != "." && part != "..");
        self.ensure(clean, || Problem::DotComponent {
            path: path.to_owned(),
        })
    }
}

/// Longest path in bytes, with its NUL (limits.h).
pub(crate) const PATH_MAX: usize = 4095;
