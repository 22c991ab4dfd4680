//! The walk over the events of the parser.

use std::{borrow::Cow, collections::BTreeSet};

use serde_saphyr::granit_parser::{Event, Marker, ScalarStyle, Span, Tag};

use super::{Outline, Place, position};
use crate::{
    MAX_MANIFEST_DEPTH,
    error::{Construct, ManifestError},
};

/// Tags of scheduling policies.
const POLICY_TAGS: &[&str] = &["other", "fifo", "round_robin", "batch", "idle", "deadline"];

/// A mapping or sequence that the walk is inside of.
struct Level {
    /// Where it starts, in [`Outline::values`].
    place: usize,
    kind: Kind,
}

enum Kind {
    /// `key` is `None` while a key is expected.
    Mapping {
        key: Option<(String, Marker)>,
        keys: BTreeSet<String>,
    },
    Sequence {
        index: usize,
    },
}

#[derive(Default)]
pub(super) struct Walk {
    levels: Vec<Level>,
    documents: usize,
    pub(super) outline: Outline,
}

impl Walk {
    pub(super) fn step(&mut self, event: Event<'_>, span: &Span) -> Result<(), ManifestError> {
        let line = position(span.start.line());
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(self.refuse(line, Construct::MultipleDocuments));
                }
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                return Err(self.refuse(line, Construct::Alias));
            }
            Event::Scalar(text, style, anchor, tag) => {
                if anchor != 0 {
                    return Err(self.refuse(line, Construct::Anchor));
                }
                if self.expects_key() {
                    return self.key(&text, style, tag, span);
                }
                self.check_tag(tag.as_deref(), line)?;
                self.note(span);
                if style == ScalarStyle::Plain && span.start == span.end && self.wants_text() {
                    self.note_omitted();
                }
                self.value_done();
            }
            Event::MappingStart(_, anchor, tag) => {
                if self.wants_text() {
                    return Err(self.refuse(line, Construct::Mapping));
                }
                let place = self.enter(anchor, tag, span)?;
                self.levels.push(Level {
                    place,
                    kind: Kind::Mapping {
                        key: None,
                        keys: BTreeSet::new(),
                    },
                });
            }
            Event::SequenceStart(_, anchor, tag) => {
                let place = self.enter(anchor, tag, span)?;
                self.levels.push(Level {
                    place,
                    kind: Kind::Sequence { index: 0 },
                });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                if let Some(level) = self.levels.pop() {
                    self.note_end(&level);
                }
                self.value_done();
            }
            _ => {}
        }
        Ok(())
    }

    /// What holds for every collection before it is entered.
    fn enter(
        &mut self,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        span: &Span,
    ) -> Result<usize, ManifestError> {
        let line = position(span.start.line());
        if anchor != 0 {
            return Err(self.refuse(line, Construct::Anchor));
        }
        if self.expects_key() {
            return Err(self.refuse(line, Construct::ComplexKey));
        }
        if self.levels.len() >= MAX_MANIFEST_DEPTH {
            let limit = MAX_MANIFEST_DEPTH;
            return Err(self.refuse(line, Construct::Depth { limit }));
        }
        self.check_tag(tag.as_deref(), line)?;
        Ok(self.note(span))
    }

    fn key(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<Cow<'_, Tag>>,
        span: &Span,
    ) -> Result<(), ManifestError> {
        let line = position(span.start.line());
        if let Some(tag) = tag {
            return Err(self.refuse(line, foreign(&tag, &[])));
        }
        if text == "<<" && style == ScalarStyle::Plain {
            return Err(self.refuse(line, Construct::MergeKey));
        }
        let Some(level) = self.levels.last_mut() else {
            return Ok(());
        };
        if let Kind::Mapping { key, keys } = &mut level.kind {
            *key = Some((text.to_owned(), span.start));
            // The parser tells `1` and `'1'` apart, but both become the same text.
            if !keys.insert(text.to_owned()) {
                let parent = self.outline.values.get(level.place);
                return Err(duplicate(
                    parent.map(|place| self.outline.field(place)),
                    text,
                    line,
                ));
            }
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        let kind = self.levels.last().map(|level| &level.kind);
        matches!(kind, Some(Kind::Mapping { key: None, .. }))
    }

    fn value_done(&mut self) {
        match self.levels.last_mut().map(|level| &mut level.kind) {
            Some(Kind::Mapping { key, .. }) => *key = None,
            Some(Kind::Sequence { index }) => *index += 1,
            None => {}
        }
    }

    /// The error that the field at hand has `construct` in it.
    fn refuse(&self, line: u64, construct: Construct) -> ManifestError {
        let keys = self.levels.iter().filter_map(|level| match &level.kind {
            Kind::Mapping { key, .. } => key.as_ref().map(|(key, _)| key.clone()),
            Kind::Sequence { index } => Some(index.to_string()),
        });
        ManifestError::Construct {
            field: keys.collect::<Vec<_>>().join("."),
            line,
            construct,
        }
    }

    /// The keys from the top to the value at hand; `None` stands for a place in a sequence.
    fn path(&self) -> Vec<Option<&str>> {
        self.levels
            .iter()
            .map(|level| match &level.kind {
                Kind::Mapping { key, .. } => key.as_ref().map(|(key, _)| key.as_str()),
                Kind::Sequence { .. } => None,
            })
            .collect()
    }

    /// Whether the value at hand is read by `text`.
    fn wants_text(&self) -> bool {
        matches!(
            self.path().as_slice(),
            [Some("args"), None]
                | [Some("env"), Some(_)]
                | [Some("cgroups"), Some(_), Some("attrs"), Some(_)]
        )
    }

    /// A tag is allowed on the values that 0.9.2 writes with one.
    fn check_tag(&self, tag: Option<&Tag>, line: u64) -> Result<(), ManifestError> {
        let Some(tag) = tag else { return Ok(()) };
        let allowed: &'static [&'static str] = match self.path().as_slice() {
            [Some("sched"), Some("policy")] => POLICY_TAGS,
            [Some("network")] => &["namespace"],
            [Some("seccomp"), Some("allow"), Some(_)] => &["args"],
            _ => &[],
        };
        if tag.handle() == "!" && allowed.contains(&tag.suffix()) {
            return Ok(());
        }
        Err(self.refuse(line, foreign(tag, allowed)))
    }

    /// Notes the value at hand and returns its index.
    fn note(&mut self, span: &Span) -> usize {
        let (key, start) = match self.levels.last().map(|level| &level.kind) {
            Some(Kind::Mapping {
                key: Some((key, start)),
                ..
            }) => (key.clone(), *start),
            Some(Kind::Sequence { index }) => (index.to_string(), span.start),
            _ => (String::new(), span.start),
        };
        self.outline.values.push(Place {
            parent: self.levels.last().map(|level| level.place),
            key,
            line: position(start.line()),
            column: position(start.col()).saturating_add(1),
            is_empty_mapping: false,
        });
        self.outline.values.len() - 1
    }

    /// Notes whether a mapping ends right where it started.
    fn note_end(&mut self, level: &Level) {
        let is_last = self.outline.values.len() == level.place + 1;
        if let (Kind::Mapping { .. }, Some(place)) =
            (&level.kind, self.outline.values.get_mut(level.place))
        {
            place.is_empty_mapping = is_last;
        }
    }

    /// Notes that the value just noted is not written out.
    fn note_omitted(&mut self) {
        if let Some(place) = self.outline.values.last() {
            let field = self.outline.field(place);
            self.outline.omitted.insert(field);
        }
    }
}

fn duplicate(parent: Option<String>, key: &str, line: u64) -> ManifestError {
    let parent = parent.filter(|field| !field.is_empty());
    ManifestError::Type {
        field: parent.map_or(key.to_owned(), |field| format!("{field}.{key}")),
        line: Some(line),
        message: format!("duplicate mapping key `{key}` is not allowed here"),
    }
}

/// A tag that is none of those that are allowed.
fn foreign(tag: &Tag, allowed: &'static [&'static str]) -> Construct {
    Construct::Tag {
        tag: format!("{}{}", tag.handle(), tag.suffix()),
        allowed,
    }
}
