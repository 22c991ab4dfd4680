//! What is said to the broker about failures. A message that a broker does not take would be sent again and again, and nothing
//! behind it: whatever was asked for, and whatever the daemon says about it, stays small.

use std::collections::BTreeMap;

use northstar_client::api::Container;
use serde_json::json;

/// Longest text about an error in characters.
const LONGEST: usize = 256;
/// Most failures that a report names.
const MOST: usize = 256;

/// An error with its causes, as far as they fit.
pub fn text(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}..", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// How far the machine is from what is asked for with `revision`.
pub fn report(revision: u64, failures: &BTreeMap<Container, String>) -> Vec<u8> {
    let named: BTreeMap<String, &String> = failures
        .iter()
        .take(MOST)
        .map(|(container, error)| (container.to_string(), error))
        .collect();
    let more = failures.len().saturating_sub(MOST);
    let report = json!({"revision": revision, "failures": named, "more_failures": more});
    report.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        let told = |count| text(&anyhow::anyhow!("é".repeat(count)));
        assert_eq!(told(LONGEST), "é".repeat(LONGEST));
        assert_eq!(told(LONGEST + 1), format!("{}..", "é".repeat(LONGEST)));
    }

    #[test]
    fn a_report_names_some_and_counts_the_rest() {
        let failures = (0..MOST + 7).map(|number| {
            let container = format!("a{number}:1.0.0").parse().unwrap();
            (container, "no".to_owned())
        });
        let json = report(3, &failures.collect());
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["revision"], 3);
        assert_eq!(json["failures"].as_object().unwrap().len(), MOST);
        assert_eq!(json["more_failures"], 7);
    }
}
