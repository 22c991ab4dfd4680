//! The manifest as text.

mod compatible;
mod levels;
mod limits;
mod reading;
mod refusing;
mod roundtrip;
mod schema;
mod writing;

use crate::{Manifest, ManifestError};

/// The fields every manifest has.
const BASE: &str = "name: a\nversion: 0.0.1\nuid: 1\ngid: 2\n";

/// A program, as opposed to a resource.
fn program(fields: &str) -> Result<Manifest, ManifestError> {
    Manifest::from_yaml(format!("{BASE}init: /a\n{fields}").as_bytes())
}

fn read(fields: &str) -> Manifest {
    program(fields).unwrap_or_else(|error| panic!("{fields}: {error}"))
}
