//! First pass over a manifest: which YAML constructs are in it, and where each field stands.
//!
//! The YAML parser resolves anchors, merge keys and tags before serde sees a value, so what a manifest
//! must not use is refused here, on the parser's events. On the way the place of every value is
//! noted, so that an error about a value names its line, and an error of the parser names its
//! field.

mod walk;

use std::{collections::BTreeSet, iter::successors};

use serde_saphyr::granit_parser::{Options, Parser, ScanError, options};

use self::walk::Walk;
use crate::error::ManifestError;

/// Where the values of a manifest are, in the order of the text.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    values: Vec<Place>,
    omitted: BTreeSet<String>,
}

/// A value, with its key if it has one. Its field is spelled out on demand only: with a long key above many values the
/// names together would be far larger than the manifest.
#[derive(Debug)]
struct Place {
    parent: Option<usize>,
    key: String,
    line: u64,
    column: u64,
    is_empty_mapping: bool,
}

impl Outline {
    /// Walks `text` and refuses what must not be in a manifest.
    pub(crate) fn read(text: &str) -> Result<Outline, ManifestError> {
        let options: Options = options! {
            emit_comments: false,
            emit_unresolved_aliases: true,
        };
        let mut walk = Walk::default();
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(syntax)?;
            walk.step(event, &span)?;
        }
        Ok(walk.outline)
    }

    /// The line of `field`, or of the closest field around it.
    pub(crate) fn line_of(&self, field: &str) -> Option<u64> {
        let mut field = field;
        loop {
            if let Some(place) = self.values.iter().find(|place| self.is_at(place, field)) {
                return Some(place.line);
            }
            field = field.rsplit_once('.')?.0;
        }
    }

    /// Whether a string is there without a value: `EMPTY:` with nothing behind it.
    pub(crate) fn is_omitted(&self, field: &str) -> bool {
        self.omitted.contains(field)
    }

    /// The field that stands at or last before a position.
    pub(crate) fn field_at(&self, line: u64, column: u64) -> String {
        self.place_at(line, column)
            .map(|place| self.field(place))
            .unwrap_or_default()
    }

    /// The mapping around the field at a position; an empty mapping stands for itself.
    pub(crate) fn mapping_around(&self, line: u64, column: u64) -> String {
        let place = self
            .place_at(line, column)
            .and_then(|place| self.up(place).nth(usize::from(!place.is_empty_mapping)));
        place.map(|place| self.field(place)).unwrap_or_default()
    }

    fn place_at(&self, line: u64, column: u64) -> Option<&Place> {
        let before = |place: &&Place| (place.line, place.column) <= (line, column);
        self.values.iter().rev().find(before)
    }

    /// The place and the places around it, innermost first.
    fn up<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = &'a Place> {
        successors(Some(place), |place| {
            place.parent.and_then(|parent| self.values.get(parent))
        })
    }

    fn field(&self, place: &Place) -> String {
        let mut keys: Vec<&str> = self.up(place).map(|place| place.key.as_str()).collect();
        // The outermost place is the manifest itself.
        keys.pop();
        keys.reverse();
        keys.join(".")
    }

    /// Compares from the end, without spelling the field out.
    fn is_at(&self, place: &Place, field: &str) -> bool {
        let mut rest = field;
        for place in self.up(place).filter(|place| place.parent.is_some()) {
            let Some(before) = rest.strip_suffix(place.key.as_str()) else {
                return false;
            };
            rest = before.strip_suffix('.').unwrap_or(before);
        }
        rest.is_empty()
    }
}

fn syntax(error: ScanError) -> ManifestError {
    let marker = error.marker();
    ManifestError::Syntax {
        line: position(marker.line()),
        column: position(marker.col()).saturating_add(1),
        message: error.info().to_owned(),
    }
}

fn position(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
