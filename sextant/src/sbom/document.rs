//! What of a bill of materials counts here. The rest is read over and not kept: as values in memory,
//! a document takes many times its size.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::SbomError;

/// Type of a package in SPDX 3.
const PACKAGE: &str = "software_Package";

/// The fields that say what a document is.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Document {
    #[serde(rename = "bomFormat")]
    pub bom_format: Text,
    #[serde(rename = "specVersion")]
    pub spec_version: Text,
    #[serde(rename = "spdxVersion")]
    pub spdx_version: Text,
    #[serde(rename = "@context")]
    pub context: Text,
    pub components: List,
    pub packages: List,
    #[serde(rename = "@graph")]
    pub graph: List,
}

impl Document {
    pub(super) fn read(bytes: &[u8]) -> Result<Document, SbomError> {
        let json = std::str::from_utf8(bytes)
            .map_err(|error| SbomError::Json(serde_json::Error::custom(error)))?;
        if json.trim_start().starts_with('{') {
            return serde_json::from_str(json).map_err(SbomError::Json);
        }
        // A list would be taken for the fields in their order.
        serde_json::from_str::<IgnoredAny>(json).map_err(SbomError::Json)?;
        Err(SbomError::Format)
    }
}

/// A field that is a text, or else is of no interest.
#[derive(Debug, Default)]
pub(super) struct Text(Option<String>);

impl Text {
    pub(super) fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }

    pub(super) fn is(&self, text: &str) -> bool {
        self.text() == Some(text)
    }
}

/// A field that is to be a list.
#[derive(Debug, Default)]
pub(super) enum List {
    #[default]
    Absent,
    /// It is something else.
    Other,
    Entries(Count),
}

/// The entries of a list.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Count {
    pub all: usize,
    /// Those that are packages of SPDX 3.
    pub packages: usize,
}

/// Any value, and what may be asked of it.
#[derive(Default)]
struct Value {
    text: Option<String>,
    entries: Option<Count>,
    is_package: bool,
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(Text(value.text))
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(value.entries.map_or(List::Other, List::Entries))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::default())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value {
            text: Some(text.to_owned()),
            ..Value::default()
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut count = Count::default();
        while let Some(entry) = list.next_element::<Value>()? {
            count.all += 1;
            count.packages += usize::from(entry.is_package);
        }
        Ok(Value {
            entries: Some(count),
            ..Value::default()
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut value = Value::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "type" => value.is_package = map.next_value::<Text>()?.is(PACKAGE),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(value)
    }
}
