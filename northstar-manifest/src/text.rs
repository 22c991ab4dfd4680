//! Strings taken verbatim from any plain scalar.
//!
//! `THREADS: 4`, `DEBUG: no` and `HOME: ~` are the strings `4`, `no` and `~`. The YAML parser reads
//! a number or a boolean into a string as it is written, but refuses the null forms (`~`, `null`
//! and nothing at all). The one way to get at their text is to ask for an enum and read the name of
//! the variant. A mapping with one null entry would pass as a variant too, which is why `outline`
//! refuses mappings at these places beforehand.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{EnumAccess, VariantAccess, Visitor},
};

/// A scalar as it is written.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Verbatim(String);

impl<'de> Deserialize<'de> for Verbatim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Variant;

        impl<'de> Visitor<'de> for Variant {
            type Value = Verbatim;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a plain value")
            }

            fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Verbatim, A::Error> {
                let (text, payload) = access.variant::<String>()?;
                payload.unit_variant()?;
                Ok(Verbatim(text))
            }
        }

        deserializer.deserialize_enum("", &[], Variant)
    }
}

/// A list of verbatim strings.
pub(crate) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Vec::<Verbatim>::deserialize(deserializer)
        .map(|list| list.into_iter().map(|Verbatim(text)| text).collect())
}

/// A map from strings to verbatim strings.
pub(crate) fn map<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    BTreeMap::<String, Verbatim>::deserialize(deserializer).map(|map| {
        map.into_iter()
            .map(|(key, Verbatim(text))| (key, text))
            .collect()
    })
}
