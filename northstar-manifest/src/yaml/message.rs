//! What is said about a value of the wrong type: what is allowed, in words of the manifest rather than
//! of the parser.

use std::borrow::Cow;

use serde_saphyr::{Error, MessageFormatter, UserMessageFormatter};

pub(super) struct Message;

impl MessageFormatter for Message {
    fn format_message<'a>(&self, error: &'a Error) -> Cow<'a, str> {
        match error {
            Error::Unexpected { expected, .. } => match *expected {
                "sequence start" => "a list is needed".into(),
                "mapping start" => "a mapping (`key: value`) is needed".into(),
                "string scalar" => "one plain value is needed".into(),
                _ => UserMessageFormatter.format_message(error),
            },
            Error::InvalidScalar { ty, .. } => match range(ty) {
                Some((min, max)) => {
                    format!("a whole number is needed: {min} to {max} is allowed").into()
                }
                None => UserMessageFormatter.format_message(error),
            },
            _ => UserMessageFormatter.format_message(error),
        }
    }
}

/// The range of an integer type.
fn range(integer: &str) -> Option<(i128, i128)> {
    Some(match integer {
        "u16" => (0, u16::MAX.into()),
        "u32" => (0, u32::MAX.into()),
        "u64" => (0, u64::MAX.into()),
        "i64" => (i64::MIN.into(), i64::MAX.into()),
        _ => return None,
    })
}
