//! Sizes in bytes, as numbers or with a unit.

use std::fmt;

use serde::{Deserializer, de::Visitor};
use thiserror::Error;

/// A string that is not a size.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidSize {
    /// No number in front, or an unknown unit behind it.
    #[error(
        "`{text}` is not a size: write a number of bytes or a number with K, KB, M, MB, G, GB \
         (decimal), Ki, KiB, Mi, MiB, Gi or GiB"
    )]
    Format {
        /// The refused string.
        text: String,
    },
    /// More than 2^64 - 1 bytes.
    #[error("`{text}` is more than {} bytes", u64::MAX)]
    TooLarge {
        /// The refused string.
        text: String,
    },
}

/// Reads a size such as `1000000`, `100kB` or `64 MiB` as bytes. Units are read in any case.
pub fn parse_size(text: &str) -> Result<u64, InvalidSize> {
    let invalid = || InvalidSize::Format {
        text: text.to_owned(),
    };
    let too_large = || InvalidSize::TooLarge {
        text: text.to_owned(),
    };

    let trimmed = text.trim();
    let end = trimmed
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    if number.is_empty() {
        return Err(invalid());
    }
    let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        "ti" | "tib" => 1 << 40,
        _ => return Err(invalid()),
    };
    // Only digits: the one way to fail is a number beyond 64 bits.
    let number: u64 = number.parse().map_err(|_| too_large())?;
    number.checked_mul(factor).ok_or_else(too_large)
}

/// A number of bytes or a string with a unit.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Size;

    impl Visitor<'_> for Size {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number of bytes or a size such as 64MiB")
        }

        fn visit_u64<E>(self, bytes: u64) -> Result<u64, E> {
            Ok(bytes)
        }

        fn visit_i64<E: serde::de::Error>(self, bytes: i64) -> Result<u64, E> {
            u64::try_from(bytes)
                .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(bytes), &self))
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
            parse_size(text).map_err(E::custom)
        }
    }

    deserializer.deserialize_any(Size)
}

/// [`deserialize`] for an optional field.
pub(crate) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    struct Optional;

    impl<'de> Visitor<'de> for Optional {
        type Value = Option<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a size or null")
        }

        fn visit_none<E>(self) -> Result<Option<u64>, E> {
            Ok(None)
        }

        fn visit_unit<E>(self) -> Result<Option<u64>, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Option<u64>, D::Error> {
            deserialize(inner).map(Some)
        }
    }

    deserializer.deserialize_option(Optional)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        let cases = [
            ("0", 0),
            ("42", 42),
            ("100K", 100_000),
            ("100kB", 100_000),
            ("1 MB", 1_000_000),
            ("2G", 2_000_000_000),
            ("3GB", 3_000_000_000),
            ("1Ki", 1024),
            ("1kib", 1024),
            ("64MiB", 64 << 20),
            ("64 Mi", 64 << 20),
            ("2GiB", 2 << 30),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn refusals() {
        for text in [
            "",
            "MB",
            "-1",
            "1.5M",
            "1 M B",
            "10 parsecs",
            "0x10",
            "1_000",
        ] {
            assert_eq!(
                parse_size(text),
                Err(InvalidSize::Format {
                    text: text.to_owned()
                }),
                "{text}"
            );
        }
        for text in [
            "18446744073709551616",
            "18446744073709552K",
            "99999999999GiB",
        ] {
            assert_eq!(
                parse_size(text),
                Err(InvalidSize::TooLarge {
                    text: text.to_owned()
                }),
                "{text}"
            );
        }
    }
}
