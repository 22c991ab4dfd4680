//! Mounts: one shape for each type.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::PATH_MAX;
use crate::{Mount, MountOptions, Name};

/// An absolute path without `.` and `..`.
const ABSOLUTE: &str = r"^/(?!([^\u0000]*/)?\.{1,2}(/|$))[^\u0000]*$";

schema_of!(Mount, "Mount", |generator| {
    let options = generator.subschema_for::<MountOptions>().to_value();
    let name = generator.subschema_for::<Name>().to_value();
    let path = |what: &str| json!({"description": what, "type": "string", "maxLength": PATH_MAX, "pattern": ABSOLUTE});
    let bind = json!({"host": path("Path on the host."), "options": options});
    let resource = json!({
        "name": name,
        "version": version_requirement(),
        "dir": path("Path inside the resource."),
        "options": {"allOf": [options, {"not": {"pattern": "rec"}}]},
    });
    json_schema!({
        "description": "What is mounted on a mount point.",
        "anyOf": [
            mount("bind", "A file or directory of the host.", bind, &["host"]),
            mount("dev", "The runtime's own minimal `/dev`.", json!({}), &[]),
            mount("persist", "A directory of the host that belongs to this container.", json!({}), &[]),
            mount("proc", "proc(5) of the container.", json!({}), &[]),
            mount("resource", "A directory of a resource package.", resource, &["name", "version", "dir"]),
            mount("sockets", "The sockets of all running containers.", json!({}), &[]),
            mount("sysfs", "sysfs(5), read-only.", json!({}), &[]),
            mount("tmpfs", "A file system in memory.", json!({"size": size()}), &["size"]),
        ],
    })
});

fn mount(kind: &str, description: &str, mut properties: Value, required: &[&str]) -> Value {
    if let Some(properties) = properties.as_object_mut() {
        properties.insert("type".to_owned(), json!({"const": kind}));
    }
    let required = [&["type"], required].concat();
    json!({
        "description": description,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn size() -> Value {
    json!({
        "description": "Bytes, or a number with K, KB, M, MB, G, GB, T, TB (decimal), Ki, KiB, Mi, MiB, Gi, GiB, Ti or TiB.",
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": u64::MAX},
            {"type": "string", "pattern": r"^\s*0*[1-9][0-9]*\s*([kKmMgGtT][iI]?)?[bB]?\s*$"},
        ],
    })
}

/// The requirements of Cargo (<https://docs.rs/semver/1/semver/struct.VersionReq.html>).
fn version_requirement() -> Value {
    let number = "(0|[1-9][0-9]*)";
    let any = "[*xX]";
    let rest = r"(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?";
    let version = format!(r"{number}(\.({any}(\.{any})?|{number}(\.({any}|{number}{rest}))?))?");
    let comparator = format!("(=|>=?|<=?|~|\\^)? *{version}");
    json!({
        "description": "Which versions will do, as Cargo writes it. The newest installed one is taken.",
        "type": ["string", "number"],
        "pattern": format!("^ *({any}|{comparator}( *, *{comparator})*) *$"),
    })
}
