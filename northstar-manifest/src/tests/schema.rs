//! The JSON Schema says what the parser does.

use std::{collections::BTreeSet, env, fs, path::Path, sync::LazyLock};

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::Value;

use super::{
    BASE,
    refusing::{OF_PROGRAMS, types, values},
    roundtrip::manifest,
};
use crate::{Manifest, yaml};

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::draft202012::new(crate::schema().as_value()).unwrap());

/// Refused by the parser alone: a schema sees a document after duplicate keys, and numbers have lost
/// how they were written; nor does it compare fields, or paths that are written in two ways.
const BEYOND_A_SCHEMA: &[&str] = &[
    "uid: 5",
    "env: {A: 1, A: 2}",
    "custom: {a: {b: 1, b: 2}}",
    "mounts: {/a: {type: dev}, /a/: {type: dev}}",
    "custom: .nan",
    "sched: {policy: !deadline {runtime: 5000, deadline: 4000, period: 6000}}",
    "rlimits: {nproc: {soft: 2, hard: 1}}",
];

/// Writes `!word value` as `{word: value}`, the way JSON has it.
fn untagged(yaml: &str) -> String {
    let Some((before, tagged)) = yaml.split_once('!') else {
        return yaml.to_owned();
    };
    let word = tagged
        .find(|c: char| !c.is_ascii_lowercase() && c != '_')
        .unwrap_or(tagged.len());
    let (word, rest) = tagged.split_at(word);
    let mut depth = 0;
    let end = rest.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth < 0 || (depth == 0 && c == ',')
    });
    let (value, rest) = rest.split_at(end.unwrap_or(rest.len()));
    format!("{before}{{{word}: {value}}}{}", untagged(rest))
}

/// The document as JSON; `None` for what is no JSON.
fn json(yaml: &str) -> Option<Value> {
    serde_saphyr::from_str_with_options(&untagged(yaml), yaml::reading()).ok()
}

fn accepts(yaml: &str) -> bool {
    json(yaml).is_some_and(|json| VALIDATOR.is_valid(&json))
}

#[test]
fn the_schema_in_the_documentation_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema/manifest.schema.json");
    let schema = serde_json::to_string_pretty(&crate::schema()).unwrap() + "\n";
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &schema).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(written, schema, "set UPDATE_DOCS=1 to write it anew");
}

/// The names of all fields, at any depth.
fn fields<'a>(schema: &'a Value, found: &mut BTreeSet<&'a str>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                found.extend(properties.keys().map(String::as_str));
            }
            map.values().for_each(|value| fields(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| fields(value, found)),
        _ => {}
    }
}

#[test]
fn the_page_about_manifests_has_every_field_and_examples_that_load() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/manifest.md");
    let page = fs::read_to_string(page).unwrap();
    let schema = crate::schema();
    let mut found = BTreeSet::new();
    fields(schema.as_value(), &mut found);
    assert!(found.len() > 70, "{found:?}");
    let words: BTreeSet<&str> = page
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    let missing: Vec<_> = found.difference(&words).collect();
    assert!(missing.is_empty(), "{missing:?}");

    let mut examples = page.split("```yaml\n").skip(1).peekable();
    assert!(examples.peek().is_some());
    for example in examples {
        let yaml = example.split("```").next().unwrap();
        let manifest = Manifest::from_yaml(yaml.as_bytes()).unwrap();
        VALIDATOR
            .validate(&serde_json::to_value(&manifest).unwrap())
            .unwrap();
    }
}

#[test]
fn the_schema_is_one() {
    jsonschema::meta::validate(crate::schema().as_value()).unwrap();
}

#[test]
fn examples_and_manifests_of_0_9_2_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let examples = fs::read_dir(root.join("examples")).unwrap();
    let examples = examples.map(|entry| entry.unwrap().path().join("manifest.yaml"));
    let fixtures = fs::read_dir(root.join("northstar-manifest/src/tests/fixtures")).unwrap();
    let fixtures = fixtures.map(|entry| entry.unwrap().path());
    let mut count = 0;
    for path in examples.chain(fixtures).filter(|path| path.is_file()) {
        let bytes = fs::read(&path).unwrap();
        let manifest = Manifest::from_yaml(&bytes).unwrap();
        let as_inspected = serde_json::to_value(&manifest).unwrap();
        VALIDATOR
            .validate(&as_inspected)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        count += 1;
        // As it is written, too, where the tags are in flow style.
        let text = String::from_utf8(bytes).unwrap();
        if !text.contains('!') {
            assert!(accepts(&text), "{}", path.display());
        }
    }
    assert!(count >= 12, "{count}");
}

#[test]
fn what_the_parser_refuses_the_schema_refuses() {
    let cases = types::CASES.iter().map(|(fields, ..)| *fields);
    let values = values::cases();
    for fields in cases.chain(values.iter().map(|(fields, ..)| *fields)) {
        let text = format!("{BASE}init: /a\n{fields}\n");
        // Nothing is on that list for convenience.
        let is_beyond = BEYOND_A_SCHEMA.contains(&fields);
        match json(&text) {
            Some(json) => assert_eq!(VALIDATOR.is_valid(&json), is_beyond, "{fields}"),
            None => assert!(is_beyond, "{fields}"),
        }
    }
    for (field, value) in OF_PROGRAMS {
        let resource = format!("{BASE}{field}: {value}\n");
        assert!(!accepts(&resource), "{field}");
        assert!(accepts(&format!("{resource}init: /a\n")), "{field}");
    }
    for field in ["name", "version", "uid", "gid"] {
        let lines = BASE.lines().filter(|line| !line.starts_with(field));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        assert!(!accepts(&text), "{field}");
    }
}

#[test]
fn values_at_the_limits() {
    let entries = |count: usize, entry: &dyn Fn(usize) -> String| {
        (0..count).map(entry).collect::<Vec<_>>().join(", ")
    };
    let cases: [(usize, &dyn Fn(usize) -> String); 11] = [
        (256, &|n| {
            format!("args: [{}]", entries(n, &|i| format!("a{i}")))
        }),
        (64, &|n| {
            format!("env: {{{}}}", entries(n, &|i| format!("A{i}: b")))
        }),
        (64, &|n| {
            format!("suppl_groups: [{}]", entries(n, &|i| format!("g{i}")))
        }),
        (64, &|n| format!("env: {{{}: b}}", "A".repeat(n))),
        (1024, &|n| format!("env: {{A: {}}}", "b".repeat(n))),
        (256, &|n| format!("network: !namespace {}", "n".repeat(n))),
        (4095, &|n| {
            format!(
                "mounts: {{/a: {{type: bind, host: /{}}}}}",
                "h".repeat(n - 1)
            )
        }),
        (262_144, &|n| format!("cgroups: {{cpu: {{shares: {n}}}}}")),
        (1_000_000, &|n| format!("cgroups: {{cpu: {{period: {n}}}}}")),
        (99, &|n| {
            format!("sched: {{policy: !fifo {{priority: {n}}}}}")
        }),
        (10_000, &|n| {
            format!("cgroups: {{blkio: {{weight_device: [{{major: 1, minor: 2, weight: {n}}}]}}}}")
        }),
    ];
    for (limit, make) in cases {
        for (value, expected) in [(limit, true), (limit + 1, false)] {
            let text = format!("{BASE}init: /a\n{}\n", make(value));
            let read = Manifest::from_yaml(text.as_bytes());
            assert_eq!(read.is_ok(), expected, "{text}: {read:?}");
            assert_eq!(accepts(&text), expected, "{text}");
        }
    }
}

#[test]
fn scalars_that_are_taken_as_they_are_written() {
    for fields in [
        "args: [4, no, true, ~, 1.5]\nenv: {A: 4, B: ~}",
        "suppl_groups: [27]",
        "cgroups: {cpu: {attrs: {cpu.x: 10}, cpus: 3}}",
        "mounts: {/r: {type: resource, name: r, version: 1.10, dir: /}}",
        "mounts: {/t: {type: tmpfs, size: 0x10}, /u: {type: tmpfs, size: '1 GiB'}}",
        "sockets: {1: {type: stream, mode: 0o777}}",
        "autostart: ~\nio: ~\nnetwork: ~",
    ] {
        let text = format!("{BASE}init: /a\n{fields}\n");
        Manifest::from_yaml(text.as_bytes()).unwrap();
        assert!(accepts(&text), "{fields}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_the_parser_accepts_is_valid(manifest in manifest()) {
        let json = serde_json::to_value(&manifest).unwrap();
        let result = VALIDATOR.validate(&json);
        prop_assert!(result.is_ok(), "{}: {}", result.unwrap_err(), json);
    }
}
