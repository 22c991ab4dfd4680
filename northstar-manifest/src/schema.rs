//! The JSON Schema of a manifest (<https://json-schema.org/draft/2020-12>).
//!
//! It describes a manifest as JSON, which is YAML, too: what the file writes as `!word value` is
//! `{"word": value}` there. Most of it is derived from the types; here are the shapes of what they read
//! by hand, and the limits that are checked after reading. What a schema cannot say stays out: lengths
//! are counted in characters there and in bytes by [`Manifest::from_yaml`], and fields are not compared
//! with each other.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Value, json};

use crate::{
    Capability, Container, Deadline, DeviceAccess, Manifest, Mount, MountOptions, Name, Permission,
    Permissions, Policy, RlimitKind, RlimitValue, Socket,
};

/// Address of the schema, by which others refer to it. Nothing has to answer there.
const ID: &str = "https://northstar.invalid/schema/manifest.schema.json";
/// The same, but not the root.
const MOUNT_POINT: &str = r"^/(?!/*$)(?!([^\u0000]*/)?\.{1,2}(/|$))[^\u0000]*$";
/// A relative path without `.` and `..`.
const RELATIVE: &str = r"^(?!/)(?!([^\u0000]*/)?\.{1,2}(/|$))[^\u0000]+$";
/// The name of a file in a directory.
const FILE_NAME: &str = r"^(?!\.{1,2}$)[^/\u0000]+$";
/// Any text that a C string can hold.
const TEXT: &str = r"^[^\u0000]*$";
const PATH_MAX: usize = 4095;

/// The JSON Schema of `manifest.yaml`.
#[must_use]
pub fn schema() -> Schema {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Manifest>();
    schema.insert("$id".to_owned(), ID.into());
    schema.insert("title".to_owned(), "Northstar container manifest".into());
    schema
}

/// What a resource (a package without `init`) must not have.
pub(crate) fn resource(schema: &mut Schema) {
    let absent = json!({"type": "null"});
    schema.insert("if".to_owned(), json!({"properties": {"init": absent}}));
    let empty_list = json!({"maxItems": 0});
    let empty_map = json!({"maxProperties": 0});
    schema.insert(
        "then".to_owned(),
        json!({"properties": {
            "args": empty_list, "env": empty_map, "autostart": absent, "cgroups": absent,
            "seccomp": absent, "capabilities": empty_list, "suppl_groups": empty_list, "io": absent,
            "userns": {"const": false},
        }}),
    );
}

/// Needs one of two fields, neither of which may be null then.
fn one_of_two(schema: &mut Schema, [one, other]: [&str; 2]) {
    let present = |field: &str| {
        json!({
            "required": [field],
            "properties": {field: {"not": {"type": "null"}}},
        })
    };
    schema.insert("anyOf".to_owned(), json!([present(one), present(other)]));
}

pub(crate) fn seccomp(schema: &mut Schema) {
    one_of_two(schema, ["profile", "allow"]);
}

pub(crate) fn argument_rule(schema: &mut Schema) {
    one_of_two(schema, ["values", "mask"]);
}

/// A string, or a scalar that is taken as it is written.
fn scalar(constraints: Value) -> Schema {
    let mut schema = json_schema!({"type": ["string", "number", "boolean", "null"]});
    if let Value::Object(constraints) = constraints {
        schema.ensure_object().extend(constraints);
    }
    schema
}

pub(crate) fn init(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["string", "null"], "minLength": 1, "maxLength": PATH_MAX, "pattern": TEXT})
}

pub(crate) fn args(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": scalar(json!({"pattern": TEXT})), "maxItems": 256})
}

pub(crate) fn env(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "propertyNames": {
            "maxLength": 64,
            "pattern": r"^(?!NORTHSTAR_(NAME|VERSION|CONTAINER|CONSOLE)$)(?!NORTHSTAR_SOCKET_)[^=\u0000]+$",
        },
        "additionalProperties": scalar(json!({"maxLength": 1024, "pattern": TEXT})),
    })
}

pub(crate) fn groups(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {"type": ["string", "number"], "minLength": 1, "maxLength": 64, "pattern": TEXT},
        "maxItems": 64,
        "uniqueItems": true,
    })
}

pub(crate) fn mounts(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": {"maxLength": PATH_MAX, "pattern": MOUNT_POINT},
        "additionalProperties": generator.subschema_for::<Mount>(),
    })
}

pub(crate) fn capabilities(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": generator.subschema_for::<Capability>(),
        "uniqueItems": true,
    })
}

pub(crate) fn rlimits(generator: &mut SchemaGenerator) -> Schema {
    let kinds: Vec<&str> = RlimitKind::ALL.iter().map(|kind| kind.as_str()).collect();
    json_schema!({
        "type": "object",
        "propertyNames": {"enum": kinds},
        "additionalProperties": generator.subschema_for::<RlimitValue>(),
    })
}

/// A soft limit has to be there if there is a hard one.
pub(crate) fn rlimit_value(schema: &mut Schema) {
    let unlimited = json!({"properties": {"soft": {"type": "null"}}});
    schema.insert("if".to_owned(), unlimited);
    let hard = json!({"properties": {"hard": {"type": "null"}}});
    schema.insert("then".to_owned(), hard);
}

pub(crate) fn sockets(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "propertyNames": {"pattern": "^[A-Za-z0-9._-]{1,64}$"},
        "additionalProperties": generator.subschema_for::<Socket>(),
    })
}

pub(crate) fn attributes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": {"maxLength": 255, "pattern": FILE_NAME},
        "additionalProperties": scalar(json!({"maxLength": 4095, "pattern": TEXT})),
    })
}

pub(crate) fn cgroup_parent(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["string", "null"], "maxLength": PATH_MAX, "pattern": RELATIVE})
}

pub(crate) fn cpu_set(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["string", "number", "null"], "pattern": "^[0-9, -]+$", "maxLength": 4095})
}

pub(crate) fn network_namespace(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 256, "pattern": FILE_NAME})
}

pub(crate) fn allowed_calls(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["object", "null"],
        "propertyNames": {"minLength": 1, "maxLength": 64, "pattern": TEXT},
        "additionalProperties": generator.subschema_for::<crate::Rule>(),
    })
}

pub(crate) fn selinux_context(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["string", "null"], "pattern": "^[A-Za-z0-9:_]+$", "maxLength": 65535})
}

/// Anything at all.
pub(crate) fn custom(_: &mut SchemaGenerator) -> Schema {
    Schema::default()
}

/// `JsonSchema` of a type whose schema is the same wherever it is.
macro_rules! schema_of {
    ($type:ty, $name:literal, |$generator:ident| $schema:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn schema_id() -> Cow<'static, str> {
                concat!("northstar_manifest::", $name).into()
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

mod mount;

schema_of!(Name, "Name", |_generator| json_schema!({
    "description": "Name of a container.",
    "type": "string",
    "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
}));

schema_of!(Container, "Container", |_generator| json_schema!({
    "description": "Name and version of a container, written `name:version`.",
    "type": "string",
    "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}:[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$",
}));

schema_of!(Capability, "Capability", |_generator| {
    let words: Vec<&str> = Capability::ALL.iter().map(|word| word.as_str()).collect();
    json_schema!({"description": "A capability of capabilities(7).", "type": "string", "enum": words})
});

schema_of!(Permission, "Permission", |_generator| {
    let words: Vec<&str> = Permission::ALL.iter().map(|word| word.as_str()).collect();
    json_schema!({"description": "What a console connection may do.", "type": "string", "enum": words})
});

schema_of!(Permissions, "Permissions", |generator| json_schema!({
    "description": "`full` or a list of permissions.",
    "anyOf": [
        {"const": "full"},
        {"type": "array", "items": generator.subschema_for::<Permission>()},
    ],
}));

schema_of!(MountOptions, "MountOptions", |_generator| json_schema!({
    "description": "Mount flags beyond the default: words of rw, noexec, nosuid, nodev and rec, joined by commas.",
    "type": "string",
    "pattern": r"^\s*$|^\s*(rw|noexec|nosuid|nodev|rec)\s*(,\s*(rw|noexec|nosuid|nodev|rec)\s*)*$",
}));

schema_of!(DeviceAccess, "DeviceAccess", |_generator| json_schema!({
    "description": "What may be done with a device: `r` (read), `w` (write), `m` (create the node).",
    "type": "string",
    "pattern": "^[rwm]+$",
}));

schema_of!(Policy, "Policy", |generator| {
    let with = |word: &str, parameters: Value| {
        json!({
            "type": "object",
            "properties": {word: parameters},
            "required": [word],
            "additionalProperties": false,
        })
    };
    let one = |field: &str, minimum: i32, maximum: i32| {
        json!({
            "type": "object",
            "properties": {field: {"type": "integer", "minimum": minimum, "maximum": maximum}},
            "required": [field],
            "additionalProperties": false,
        })
    };
    let deadline = generator.subschema_for::<Deadline>().to_value();
    json_schema!({
        "description": "A scheduling policy (sched(7)).",
        "anyOf": [
            {"enum": ["idle", "deadline"]},
            with("other", one("nice", -20, 19)),
            with("batch", one("nice", -20, 19)),
            with("fifo", one("priority", 1, 99)),
            with("round_robin", one("priority", 1, 99)),
            with("deadline", deadline),
        ],
    })
});
