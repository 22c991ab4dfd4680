//! The JSON Schema of the console's lines (<https://json-schema.org/draft/2020-12>).
//!
//! Most of it is derived from the types. By hand is what they write by hand: the envelope, tokens and base64.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Value, json};

use crate::{Connect, ConnectAck, ConnectNack, Notification, Progress, Request, Response, Token};

/// Address of the schema, by which others refer to it. Nothing has to answer there.
const ID: &str = "https://northstar.invalid/schema/console.schema.json";

/// The JSON Schema of a line of the console protocol, extensions included.
#[must_use]
pub fn schema() -> Schema {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let id = json!({
        "description": "Chosen by the client. Extension `ids`.",
        "type": "integer", "minimum": 0, "maximum": u64::MAX
    });
    let sequence = json!({
        "description": "Number of the notification. Extension `sequence`.",
        "type": "integer", "minimum": 1, "maximum": u64::MAX
    });
    let id = Some(("id", id));
    let g = &mut generator;
    let lines = [
        line::<Connect>(g, "connect", "Client: the first line.", None),
        line::<ConnectAck>(g, "connect_ack", "Daemon: welcome.", None),
        line::<ConnectNack>(g, "connect_nack", "Daemon: refused.", None),
        line::<Request>(g, "request", "Client: do something.", id.clone()),
        line::<Response>(g, "response", "Daemon: what became of it.", id.clone()),
        line::<Notification>(
            g,
            "notification",
            "Daemon: something has happened.",
            Some(("sequence", sequence)),
        ),
        progress(g, id),
    ];
    let definitions = generator.take_definitions(true);
    json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "A line of the Northstar console protocol",
        "oneOf": lines,
        "$defs": definitions,
    })
}

/// An object with `key`, and maybe one more.
fn line<T: JsonSchema>(
    generator: &mut SchemaGenerator,
    key: &str,
    title: &str,
    more: Option<(&str, Value)>,
) -> Value {
    let mut line = json!({
        "title": title,
        "type": "object",
        "properties": { key: generator.subschema_for::<T>() },
        "required": [key],
        "additionalProperties": false,
    });
    if let (Some((name, schema)), Some(properties)) = (more, line.get_mut("properties"))
        && let Some(properties) = properties.as_object_mut()
    {
        properties.insert(name.to_owned(), schema);
    }
    line
}

/// Only requests with an id have any.
fn progress(generator: &mut SchemaGenerator, id: Option<(&str, Value)>) -> Value {
    let title = "Daemon: how far it is. Extension `jobs`.";
    let mut line = line::<Progress>(generator, "progress", title, id);
    if let Some(line) = line.as_object_mut() {
        line.insert("required".to_owned(), json!(["id", "progress"]));
    }
    line
}

/// Bytes in base64.
pub(crate) struct Base64;

impl JsonSchema for Base64 {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Base64".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "contentEncoding": "base64"})
    }
}

impl JsonSchema for Token {
    fn schema_name() -> Cow<'static, str> {
        "Token".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Base64::json_schema(generator)
    }
}
