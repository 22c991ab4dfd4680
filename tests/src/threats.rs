//! docs/threats.md names tests: each of them has to exist.

use std::{collections::BTreeMap, fs, path::Path};

use crate::programs::workspace;

/// Words in backquotes.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The text of a file, or of all Rust files below a folder.
fn sources(path: &Path) -> String {
    if path.is_file() {
        return fs::read_to_string(path).unwrap();
    }
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let relevant = paths.filter(|path| {
        path.is_dir() || path.extension().is_some_and(|extension| extension == "rs")
    });
    relevant.map(|path| sources(&path)).collect()
}

#[test]
fn every_test_that_the_page_names_exists() {
    let root = workspace();
    let page = fs::read_to_string(root.join("docs/threats.md")).unwrap();
    let mut places: BTreeMap<&str, String> = BTreeMap::new();
    let mut used = BTreeMap::new();
    let mut missing = Vec::new();
    // What capabilities reach is compared by a test of its own.
    let is_row = |line: &&str| {
        line.starts_with("| ") && !line.starts_with("| CAP_") && !line.starts_with("| capability |")
    };
    for line in page.lines().filter(is_row) {
        let words: Vec<&str> = quoted(line).collect();
        let named: Vec<(&str, &str)> = words
            .iter()
            .filter_map(|word| word.split_once("::"))
            .collect();
        if let ([place, path], []) = (&words[..], &named[..]) {
            places.insert(place, sources(&root.join(path)));
            continue;
        }
        let is_head = line.starts_with("| threat") || line.starts_with("| place");
        assert!(is_head || !named.is_empty(), "no test for: {line}");
        for (place, test) in named {
            let sources = places
                .get(place)
                .unwrap_or_else(|| panic!("no place is called {place}"));
            if !sources.contains(&format!("fn {test}(")) {
                missing.push(format!("{place}::{test}"));
            }
            *used.entry(place).or_insert(0) += 1;
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    let unused: Vec<&&str> = places
        .keys()
        .filter(|place| !used.contains_key(*place))
        .collect();
    assert_eq!(unused, Vec::<&&str>::new(), "places that no row needs");
    assert!(used.values().sum::<i32>() > 100, "{used:?}");
}
