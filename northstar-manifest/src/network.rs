//! `network`: the network namespace.

use serde::{Deserialize, Serialize};

use crate::{
    error::Problem,
    validate::{At, Checked},
};

/// Longest name of a network namespace in bytes.
const MAX_NAMESPACE: usize = 256;

/// The network namespace of a container. Omitted in a manifest: a private, empty one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Network {
    /// The namespace of the daemon.
    Host,
    /// An existing namespace by its name (ip-netns(8)).
    Namespace(
        #[cfg_attr(
            feature = "schema",
            schemars(schema_with = "crate::schema::network_namespace")
        )]
        String,
    ),
}

impl Network {
    pub(crate) fn validate(&self, at: &At) -> Checked {
        let Network::Namespace(name) = self else {
            return Ok(());
        };
        at.filled(name, MAX_NAMESPACE)?;
        // The name is a file name below /run/netns.
        at.characters(name, |c| c != '/', "any but `/`")?;
        at.ensure(name != "." && name != "..", || Problem::DotComponent {
            path: name.clone(),
        })
    }
}
