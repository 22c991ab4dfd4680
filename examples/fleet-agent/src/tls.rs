//! TLS to the broker: who it has to be, and who this machine is to it.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Largest file of certificates in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;
/// Mode bits that let others at a key (inode(7)): reading for the world, writing for anybody but the owner.
const OPEN_TO_OTHERS: u32 = 0o027;

/// PEM files for a broker with TLS.
#[derive(Clone, Debug)]
pub struct Files {
    /// The authorities that sign the certificate of the broker.
    pub authority: PathBuf,
    /// Certificate and private key of this machine, if the broker asks for them.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Files {
    /// Reads them.
    pub fn config(&self) -> Result<ClientConfig> {
        let refused = |path: &Path| format!("{} is not accepted", path.display());
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.authority)? {
            roots
                .add(authority)
                .with_context(|| refused(&self.authority))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        match &self.identity {
            None => Ok(config.with_no_client_auth()),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let secret = PrivateKeyDer::from_pem_slice(&read(key, OPEN_TO_OTHERS)?)
                    .with_context(|| format!("{} has no private key", key.display()))?;
                config
                    .with_client_auth_cert(chain, secret)
                    .with_context(|| refused(key))
            }
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let none = || format!("{} has no certificate (PEM)", path.display());
    let bytes = read(path, 0)?;
    let all = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let all = all.with_context(none)?;
    ensure!(!all.is_empty(), none());
    Ok(all)
}

fn read(path: &Path, forbidden: u32) -> Result<Vec<u8>> {
    let read = || {
        // A pipe would make this program wait for whoever writes into it.
        ensure!(fs::metadata(path)?.is_file(), "it is no regular file");
        let file = File::open(path)?;
        let mode = file.metadata()?.mode() & 0o7777;
        ensure!(
            mode & forbidden == 0,
            "its mode is {mode:04o}: nobody else must read a key (chmod go-rwx)"
        );
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().with_context(|| format!("cannot use {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn config(authority: &Path, identity: Option<(&Path, &Path)>) -> Result<ClientConfig> {
        let files = Files {
            authority: authority.to_owned(),
            identity: identity.map(|(certificate, key)| (certificate.to_owned(), key.to_owned())),
        };
        files.config()
    }

    #[test]
    fn files_that_do_not_fit_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str, mode: u32| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let issue = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (own, other) = (issue(), issue());
        let certificate = write("certificate", &own.cert.pem(), 0o644);
        let key = write("key", &own.signing_key.serialize_pem(), 0o600);
        let open = write("open", &own.signing_key.serialize_pem(), 0o644);
        let foreign = write("foreign", &other.signing_key.serialize_pem(), 0o600);
        let text = write("text", "no PEM", 0o600);
        let none = directory.path().join("none");

        assert!(config(&certificate, None).is_ok());
        assert!(config(&certificate, Some((&certificate, &key))).is_ok());
        for authority in [&key, &text, &none] {
            assert!(config(authority, None).is_err(), "{authority:?}");
        }
        for identity in [
            (&certificate, &open),
            (&certificate, &foreign),
            (&certificate, &text),
            (&certificate, &certificate),
            (&text, &key),
            (&certificate, &none),
        ] {
            let (chain, key) = identity;
            assert!(
                config(&certificate, Some((chain, key))).is_err(),
                "{identity:?}"
            );
        }
    }
}
