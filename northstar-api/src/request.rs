//! What a client asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Container, Name, RepositoryId, Token, base64};

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Who am I to the server?
    Ident,
    /// Manifest and state of a container.
    Inspect {
        /// The container.
        container: Container,
    },
    /// Install a package. Exactly `size` raw bytes follow the line.
    Install {
        /// Where to.
        repository: RepositoryId,
        /// Size of the package in bytes.
        size: u64,
    },
    /// Send a signal to the container's process group.
    Kill {
        /// The container.
        container: Container,
        /// Number of the signal.
        signal: i32,
    },
    /// The installed containers.
    List,
    /// Mount containers.
    Mount {
        /// The containers.
        containers: Vec<Container>,
    },
    /// The repositories.
    Repositories,
    /// End the daemon.
    Shutdown,
    /// Start a container.
    Start {
        /// The container.
        container: Container,
        /// Program instead of the manifest's, which `<INIT>` in it stands for.
        #[serde(default)]
        init: Option<String>,
        /// Arguments instead of the manifest's, if not empty.
        #[serde(default)]
        arguments: Vec<String>,
        /// Variables on top of the manifest's.
        #[serde(default)]
        environment: BTreeMap<String, String>,
    },
    /// Create a token.
    TokenCreate {
        /// Who may verify the token.
        target: Name,
        /// Known to creator and verifier.
        #[serde(with = "base64")]
        #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Base64"))]
        shared: Vec<u8>,
    },
    /// Verify a token.
    TokenVerify {
        /// The token.
        token: Token,
        /// Who is said to have created it.
        user: Name,
        /// Known to creator and verifier.
        #[serde(with = "base64")]
        #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Base64"))]
        shared: Vec<u8>,
    },
    /// Unmount containers.
    Umount {
        /// The containers.
        containers: Vec<Container>,
    },
    /// Remove a container from its repository.
    Uninstall {
        /// The container.
        container: Container,
        /// Remove its persistent data too.
        wipe: bool,
    },
    /// End a request of this connection that is under way, as far as that is still possible. Extension `jobs`.
    Cancel {
        /// Id of that request.
        id: u64,
    },
    /// What containers use, all at once. Extension `details`; needs the permission `inspect`.
    Statistics {
        /// The containers; none for all. Those that are not installed are left out.
        #[serde(default)]
        containers: Vec<Container>,
    },
    /// What the repositories are. Extension `details`; needs the permission `repositories`.
    RepositoryDetails,
}
