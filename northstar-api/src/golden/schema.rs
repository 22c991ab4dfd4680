//! The JSON Schema: it is the one in the documentation, every golden line fits it, and what is no line does not.

use std::{env, fs, path::Path, sync::LazyLock};

use jsonschema::Validator;

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(crate::schema().as_value()).unwrap());

#[track_caller]
pub(super) fn assert_valid(line: &str) {
    let value = serde_json::from_str(line).unwrap();
    let error = VALIDATOR.iter_errors(&value).next();
    assert!(error.is_none(), "{line}: {error:?}");
}

#[test]
fn the_schema_in_the_documentation_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema/console.schema.json");
    let schema = serde_json::to_string_pretty(&crate::schema()).unwrap() + "\n";
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &schema).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(written, schema, "set UPDATE_DOCS=1 to write it anew");
}

#[test]
fn the_schema_is_one() {
    jsonschema::meta::validate(crate::schema().as_value()).unwrap();
}

#[test]
fn what_is_no_line_is_not_valid() {
    for line in [
        r#""list""#,
        r#"{}"#,
        r#"{"request":"nothing"}"#,
        r#"{"request":"list","response":"shutdown"}"#,
        r#"{"request":{"inspect":{}}}"#,
        r#"{"request":{"inspect":{"container":"no version"}}}"#,
        r#"{"request":{"kill":{"container":"a:1.0.0","signal":"TERM"}}}"#,
        r#"{"request":{"install":{"repository":"r","size":-1}}}"#,
        r#"{"id":-1,"request":"list"}"#,
        r#"{"id":"one","request":"list"}"#,
        r#"{"sequence":1,"request":"list"}"#,
        r#"{"id":1,"notification":"shutdown"}"#,
        r#"{"progress":{"done":1,"total":2,"unit":"bytes"}}"#,
        r#"{"id":1,"progress":{"done":1,"total":2,"unit":"miles"}}"#,
        r#"{"connect":{"version":"0.9.2"}}"#,
        r#"{"connect":{"version":"0.9.2","subscribe_notifications":true,"extensions":["ids"]}}"#,
        r#"{"notification":{"exit":["a:1.0.0",{"exit":{}}]}}"#,
        r#"{"notification":{"exit":["a:1.0.0",{"exit":{"code":0,"reason":"boredom"}}]}}"#,
        r#"{"response":{"mount":[{"error":{"container":"a:1.0.0","error":{"unheard_of":{}}}}]}}"#,
    ] {
        let value = serde_json::from_str(line).unwrap();
        assert!(!VALIDATOR.is_valid(&value), "{line}");
    }
}
