//! What holds at every level of a manifest.

use serde_json::Value;

use super::{program, reading::EVERY_FIELD};
use crate::{Manifest, ManifestError};

/// A manifest with a value for everything, as JSON, which is YAML as well.
fn whole() -> Value {
    serde_json::to_value(program(EVERY_FIELD).unwrap()).unwrap()
}

/// Writes `value`; at the map at `path`, what `add` says comes first.
fn write(
    value: &Value,
    at: &[String],
    add: &dyn Fn(&serde_json::Map<String, Value>) -> String,
) -> String {
    match value {
        Value::Object(map) => {
            let mut entries = Vec::new();
            if at.is_empty() {
                entries.push(add(map));
            }
            for (key, value) in map {
                let inner = match at.split_first() {
                    Some((first, rest)) if first == key => write(value, rest, add),
                    _ => value.to_string(),
                };
                entries.push(format!("{}: {inner}", Value::from(key.as_str())));
            }
            format!("{{{}}}", entries.join(", "))
        }
        Value::Array(list) => {
            let (first, rest) = at.split_first().unwrap();
            let entries: Vec<String> = list
                .iter()
                .enumerate()
                .map(|(i, value)| match i.to_string() == *first {
                    true => write(value, rest, add),
                    false => value.to_string(),
                })
                .collect();
            format!("[{}]", entries.join(", "))
        }
        value => value.to_string(),
    }
}

/// The paths of all maps in `value`.
fn maps(value: &Value, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let mut inner = |key: String, value: &Value| {
        at.push(key);
        maps(value, at, found);
        at.pop();
    };
    match value {
        Value::Object(map) => {
            map.iter()
                .for_each(|(key, value)| inner(key.clone(), value));
            found.push(at.clone());
        }
        Value::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(i, value)| inner(i.to_string(), value));
        }
        _ => {}
    }
}

fn all_maps(value: &Value) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    maps(value, &mut Vec::new(), &mut found);
    assert!(found.len() > 35, "{found:?}");
    found
}

/// Whether the keys of a map are up to the author.
fn is_free(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    matches!(
        path.as_slice(),
        ["env"]
            | ["custom", ..]
            | ["cgroups", _, "attrs"]
            | ["seccomp", "allow"]
            | ["mounts"]
            | ["sockets"]
    )
}

/// Whether a map is a word with its value, which has one key and no other.
fn is_word(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    matches!(
        path.as_slice(),
        ["network"] | ["sched", "policy"] | ["seccomp", "allow", _]
    )
}

#[test]
fn unknown_fields_are_refused_at_every_level() {
    let whole = whole();
    for path in all_maps(&whole).into_iter().filter(|path| !is_free(path)) {
        let text = write(&whole, &path, &|_| "\"nonsense\": {}".to_owned());
        match Manifest::from_yaml(text.as_bytes()) {
            Err(ManifestError::Type { message, .. }) => {
                assert!(
                    message.contains("nonsense") || is_word(&path),
                    "{path:?}: {message}"
                );
            }
            other => panic!("{path:?}: {other:?}"),
        }
    }
}

#[test]
fn duplicate_keys_are_refused_at_every_level() {
    let whole = whole();
    let mut count = 0;
    for path in all_maps(&whole) {
        let double = |map: &serde_json::Map<String, Value>| match map.iter().next() {
            Some((key, value)) => format!("{}: {value}", Value::from(key.as_str())),
            None => "\"a\": 1, \"a\": 2".to_owned(),
        };
        let text = write(&whole, &path, &double);
        match Manifest::from_yaml(text.as_bytes()) {
            Err(ManifestError::Type { message, .. }) => {
                assert!(
                    message.contains("duplicate") || is_word(&path),
                    "{path:?}: {message}"
                );
            }
            other => panic!("{path:?}: {other:?}\n{text}"),
        }
        count += 1;
    }
    assert!(count > 35, "{count}");
}

/// What is the same once it is read, however it is written.
#[test]
fn keys_written_in_two_ways_are_duplicates() {
    for (fields, at) in [
        ("env: {A: 1, 'A': 2}", "env.A"),
        ("env: {1: a, '1': b}", "env.1"),
        ("env:\n  A: 1\n  ? A\n  : 2", "env.A"),
        ("custom: {1: a, '1': b}", "custom.1"),
        ("custom: {a: [{true: a, 'true': b}]}", "custom.a.0.true"),
        ("custom: {1: a, 0x1: b}", "custom.0x1"),
        (
            "sockets: {1: {type: stream, mode: 0}, '1': {type: stream, mode: 0}}",
            "sockets.1",
        ),
        (
            "cgroups: {cpu: {attrs: {1: a, '1': b}}}",
            "cgroups.cpu.attrs.1",
        ),
        ("'uid': 1", "uid"),
        ("\"u\\x69d\": 1", "uid"),
    ] {
        match program(fields) {
            Err(ManifestError::Type { field, message, .. }) => {
                assert_eq!(field, at, "{fields}");
                assert!(message.contains("duplicate"), "{fields}: {message}");
            }
            other => panic!("{fields}: {other:?}"),
        }
    }
}
