//! The daemon's configuration, `northstar.toml`.
//!
//! Two stages: `raw` is what the TOML may look like, field by field, with every unknown key refused; [`checked`]
//! is what the daemon works with: defaults filled in, strings turned into addresses, sizes and durations, and
//! combinations that cannot work refused. Nothing after this module looks at the text again.
//!
//! Paths stay as written: a relative one is relative to the daemon's working directory.

mod address;
mod check;
pub mod checked;
mod error;
mod raw;
mod repository_id;
#[cfg(test)]
mod tests;
pub mod tls;
mod value;

pub use checked::{
    Address, Config, ConnectionOptions, Debug, Integrity, Listener, ListenerOptions,
    MAX_REQUEST_SIZE, Missing, Peer, Perf, Repository, Storage, Strace, StraceOutput,
    UserNamespaces,
};
pub use error::{ConfigError, ValueError};
pub use repository_id::{InvalidRepositoryId, RepositoryId};
pub use tls::{Subject, SubjectPeer, Tls};

use std::path::Path;

impl Config {
    /// Reads and checks the configuration file at `path`. What is in the files that it names is not looked at:
    /// [`read_credentials`](Config::read_credentials).
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Config::parse(&text)
    }

    /// Reads the files of the consoles over TLS, as a start does before anything is served.
    ///
    /// Not before a forker is forked: inits are copies of it, and a program that may trace its init would find the
    /// secret keys in memory that was given back and not written again.
    ///
    /// # Errors
    ///
    /// The first file that cannot be used.
    pub fn read_credentials(&self) -> Result<(), ConfigError> {
        for (index, listener) in self.console.iter().enumerate() {
            if let Address::Tls(tls) = &listener.address {
                let error = |source| ConfigError::Credentials { index, source };
                tls.read().map_err(error)?;
            }
        }
        Ok(())
    }

    /// Checks the text of a configuration file.
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        check::config(toml::from_str(text)?)
    }
}
