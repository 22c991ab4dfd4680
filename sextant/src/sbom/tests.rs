//! Which documents are bills of materials, and what the manifest says of them.

use serde_json::json;

use super::*;

fn parse(json: &Value) -> Result<Sbom, SbomError> {
    Sbom::parse(serde_json::to_vec(json).unwrap())
}

#[test]
fn known_formats_are_recognised() {
    let graph = json!([
        {"type": "CreationInfo"},
        {"type": "software_Package", "name": "a"},
        {"type": "software_Package", "name": "b"},
    ]);
    let cases = [
        (
            json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{}, {}]}),
            (Format::CycloneDx, "1.6", 2),
        ),
        (
            json!({"bomFormat": "CycloneDX", "specVersion": "1.2"}),
            (Format::CycloneDx, "1.2", 0),
        ),
        (
            json!({"spdxVersion": "SPDX-2.3", "packages": [{}]}),
            (Format::Spdx, "2.3", 1),
        ),
        (
            json!({"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": graph}),
            (Format::Spdx, "3.0.1", 2),
        ),
    ];
    for (json, expected) in cases {
        let sbom = parse(&json).unwrap();
        let found = (sbom.format, sbom.version.as_str(), sbom.components);
        assert_eq!(found, expected);
    }
}

#[test]
fn other_documents_are_refused() {
    for json in [
        json!(null),
        json!([]),
        json!("CycloneDX"),
        json!({}),
        json!({"bomFormat": "Cyclone", "specVersion": "1.6"}),
        json!({"@context": "https://example.com"}),
    ] {
        assert!(matches!(parse(&json), Err(SbomError::Format)), "{json}");
    }
    for (json, expected) in [
        (json!({"bomFormat": "CycloneDX"}), ""),
        (
            json!({"bomFormat": "CycloneDX", "specVersion": "9.9"}),
            "9.9",
        ),
        (json!({"bomFormat": "CycloneDX", "specVersion": 1.6}), ""),
        (json!({"spdxVersion": "SPDX-1.2"}), "1.2"),
        (
            json!({"@context": "https://spdx.org/rdf/9/spdx-context.jsonld"}),
            "9",
        ),
    ] {
        let result = parse(&json);
        let is_expected =
            matches!(&result, Err(SbomError::Version { version, .. }) if version == expected);
        assert!(is_expected, "{json}: {result:?}");
    }
    let no_list = json!({"spdxVersion": "SPDX-2.3", "packages": {}});
    assert!(matches!(
        parse(&no_list),
        Err(SbomError::NotAList {
            field: "packages",
            ..
        })
    ));
    assert!(matches!(
        Sbom::parse(b"<bom/>".to_vec()),
        Err(SbomError::Json(_))
    ));
    let large = vec![b' '; LIMIT as usize + 1];
    assert!(matches!(Sbom::parse(large), Err(SbomError::TooLarge)));
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    assert!(matches!(Sbom::parse(deep.clone()), Err(SbomError::Format)));
    let deep = [b"{\"components\":".as_slice(), &deep, b"}"].concat();
    assert!(matches!(Sbom::parse(deep), Err(SbomError::Json(_))));
}

#[test]
fn a_list_is_no_document_and_no_field_counts_twice() {
    for (json, is_expected) in [
        (
            r#"["CycloneDX", "1.6"]"#,
            (|error| matches!(error, SbomError::Format)) as fn(&SbomError) -> bool,
        ),
        (r#" {"spdxVersion": "SPDX-2.3"} {"#, |error| {
            matches!(error, SbomError::Json(_))
        }),
        (
            r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "specVersion": "1.5"}"#,
            |error| matches!(error, SbomError::Json(_)),
        ),
    ] {
        let error = Sbom::parse(json.into()).unwrap_err();
        assert!(is_expected(&error), "{json}: {error}");
    }
    let not_text = b"{\"bomFormat\": \"\xff\"}";
    assert!(matches!(
        Sbom::parse(not_text.to_vec()),
        Err(SbomError::Json(_))
    ));
}

/// A few KiB of an image can stand for a bill of the full size.
#[test]
fn reading_takes_little_more_memory_than_the_document() {
    let count = 1_000_000;
    let text = format!(
        r#"{{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{}{{}}]}}"#,
        r#"{"a":0},"#.repeat(count)
    );
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
        kib.parse::<usize>().unwrap() * 1024
    };
    let before = peak();
    let sbom = Sbom::parse(text.into_bytes()).unwrap();
    assert_eq!(sbom.components, count + 1);
    let used = peak() - before;
    assert!(used < 128 << 20, "{used}");
}

#[test]
fn the_manifest_gets_a_key_and_loses_nothing() {
    let sbom = parse(&json!({"spdxVersion": "SPDX-2.3"})).unwrap();
    let text = "name: a\nversion: 0.0.1\nuid: 1\ngid: 1\n";
    let read = |custom: &str| Manifest::from_yaml(format!("{text}{custom}").as_bytes()).unwrap();
    for custom in ["", "custom: {other: 1}"] {
        let mut manifest = read(custom);
        sbom.add_to(&mut manifest).unwrap();
        assert_eq!(Record::of(&manifest).unwrap(), Some(sbom.record()));
        let other = manifest.custom.as_ref().unwrap().get("other");
        assert_eq!(other, (!custom.is_empty()).then_some(&json!(1)));
        assert!(matches!(
            sbom.add_to(&mut manifest),
            Err(SbomError::CustomTaken)
        ));
    }
    for custom in ["custom: [1]", "custom: text", "custom: 1"] {
        let result = sbom.add_to(&mut read(custom));
        assert!(matches!(result, Err(SbomError::CustomNotAMap)), "{custom}");
    }
    // Somebody else's key, and one that is meant to be this one.
    assert_eq!(Record::of(&read("custom: {sbom: yes}")).unwrap(), None);
    assert!(matches!(
        Record::of(&read("custom: {sbom: {format: spdx}}")),
        Err(SbomError::Record(_))
    ));
}
