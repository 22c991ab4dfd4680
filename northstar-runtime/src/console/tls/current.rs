//! What is in force: the certificates as they were read last, and whether they have to be read again.

use super::verifier::KnownSubjects;
use crate::config::{
    Tls,
    tls::{Credentials, FileError, FileProblem, Stamps},
};
use rustls::{ServerConfig, crypto::ring, server::NoServerSessionStorage, sign::SingleCertAndKey};
use std::{io, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at while nobody connects.
pub(super) const LOOK: Duration = Duration::from_secs(10);

/// What is in force.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) look: Look,
    pub(super) config: Arc<ServerConfig>,
    pub(super) trust: Vec<Vec<u8>>,
    /// Cancelled when clients have to be judged anew.
    pub(super) outdated: CancellationToken,
}

/// What was seen of the files when they were read last.
#[derive(Debug)]
pub(super) struct Look {
    stamps: Stamps,
    /// When to read them again although they have not changed.
    again: Option<Instant>,
}

impl Current {
    pub(super) fn read(tls: &Tls) -> Result<Current, FileError> {
        // Before the files are read: what changes meanwhile is read again.
        let stamps = tls.stamps();
        let mut credentials = tls.read()?;
        let trust = std::mem::take(&mut credentials.trust);
        Ok(Current {
            look: Look {
                stamps,
                again: None,
            },
            config: Arc::new(config(credentials, tls)?),
            trust,
            outdated: CancellationToken::new(),
        })
    }
}

impl Look {
    /// The files could not be used. They are known to be bad, unless it is only that they could not be read just now, for
    /// want of a descriptor perhaps: a revocation must not be missed for that.
    pub(super) fn failed(stamps: Stamps, error: &FileError) -> Look {
        let passing = match &error.source {
            // When it is there it has changed.
            FileProblem::Read(error) => error.kind() != io::ErrorKind::NotFound,
            _ => false,
        };
        Look {
            stamps,
            again: passing.then(|| Instant::now() + LOOK),
        }
    }

    /// There is nothing new to be read.
    pub(super) fn stands(&self, stamps: &Stamps) -> bool {
        self.stamps == *stamps && self.again.is_none_or(|again| Instant::now() < again)
    }
}

/// TLS 1.3 alone, a certificate from each client, and no way around looking at it: a resumed session (RFC 8446, 2.2) or early
/// data would skip that.
fn config(credentials: Credentials, tls: &Tls) -> Result<ServerConfig, FileError> {
    let Credentials {
        identity, clients, ..
    } = credentials;
    let clients = KnownSubjects::new(clients, tls.peers.clone());
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| tls.unusable(error))?
        .with_client_cert_verifier(Arc::new(clients))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn files_that_could_not_be_read_just_now_are_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let tls = Tls {
            host: "localhost".to_owned(),
            port: 0,
            cert: path("cert"),
            key: path("key"),
            client_ca: path("client_ca"),
            client_crl: None,
            peers: Vec::new(),
        };
        let failed = |source: FileProblem| {
            let error = FileError {
                key: "cert",
                path: path("cert"),
                source,
            };
            Look::failed(tls.stamps(), &error)
        };
        let passing = failed(io::Error::from_raw_os_error(nix::libc::EMFILE).into());
        let bad = failed(FileProblem::NoFile);
        let absent = failed(io::Error::from_raw_os_error(nix::libc::ENOENT).into());
        for look in [&passing, &bad, &absent] {
            assert!(look.stands(&tls.stamps()));
        }
        advance(LOOK).await;
        assert!(!passing.stands(&tls.stamps()));
        assert!(bad.stands(&tls.stamps()) && absent.stands(&tls.stamps()));
        std::fs::write(path("cert"), "").unwrap();
        assert!(!bad.stands(&tls.stamps()) && !absent.stands(&tls.stamps()));
    }
}
