//! TLS: who the server has to be, and who this client is.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{
        CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName,
        pem::{self, PemObject},
    },
};
use thiserror::Error;

/// Largest file of certificates in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;
/// Mode bits that let others at a key (inode(7)): reading for the world, writing for anybody but the owner.
const OPEN_TO_OTHERS: u32 = 0o027;

/// Certificates for a `tls://` endpoint. Files are PEM, and are read for each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that sign the certificate of the server.
    pub ca: PathBuf,
    /// This client's certificate, followed by those between it and its authority.
    pub cert: PathBuf,
    /// The private key of this client's certificate. Others must not be able to read it.
    pub key: PathBuf,
    /// The name in the certificate of the server, if it is not the host of the endpoint.
    pub server_name: Option<String>,
}

/// Certificates that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A `tls://` endpoint needs certificates.
    #[error("a tls:// console needs certificates")]
    NoCertificates,
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read or change the key.
    #[error("the mode of {path} is {mode:04o}: nobody else must read a key (chmod go-rwx)")]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file is no PEM, or has not what is needed.
    #[error("{path} has no {kind} (a PEM block is needed)")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is needed.
        kind: &'static str,
        /// What is wrong.
        source: pem::Error,
    },
    /// An authority or the certificate is not understood: most likely it is of X.509 version 1.
    #[error("{path} is not accepted as a certificate")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The key is not that of the certificate.
    #[error("{path} is not the key of the certificate")]
    Mismatch {
        /// The file of the key.
        path: PathBuf,
        /// What differs.
        source: rustls::Error,
    },
    /// The key is not understood.
    #[error("{path} is not accepted")]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The name of the server can be in no certificate.
    #[error("{name:?} is no name of a server")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        source: InvalidDnsNameError,
    },
}

/// What a TLS handshake failed for, as far as there is something to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFault {
    /// The certificate is not signed by an authority that the other side knows.
    Authority,
    /// The certificate is for another name.
    Name,
    /// The certificate has expired or is not valid yet, by the clock of who judges.
    Validity,
    /// The certificate was revoked.
    Revoked,
    /// The certificate is for something else: that of a client has to be for TLS clients, that of a server for TLS servers
    /// (RFC 5280, 4.2.1.12).
    Usage,
    /// The certificate is good, and its subject is not one that is served.
    Subject,
    /// The other side does not speak TLS.
    NoTls,
}

impl TlsFault {
    /// What is wrong, if an error of a TLS stream tells.
    pub(crate) fn of(error: &io::Error) -> Option<TlsFault> {
        match error.get_ref()?.downcast_ref()? {
            rustls::Error::InvalidCertificate(error) => match error {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    Some(TlsFault::Authority)
                }
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => Some(TlsFault::Name),
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Some(TlsFault::Validity),
                CertificateError::Revoked => Some(TlsFault::Revoked),
                CertificateError::InvalidPurpose
                | CertificateError::InvalidPurposeContext { .. } => Some(TlsFault::Usage),
                _ => None,
            },
            rustls::Error::AlertReceived(alert) => match alert {
                AlertDescription::UnknownCA | AlertDescription::DecryptError => {
                    Some(TlsFault::Authority)
                }
                AlertDescription::CertificateExpired => Some(TlsFault::Validity),
                AlertDescription::CertificateRevoked => Some(TlsFault::Revoked),
                AlertDescription::UnsupportedCertificate => Some(TlsFault::Usage),
                AlertDescription::AccessDenied => Some(TlsFault::Subject),
                _ => None,
            },
            rustls::Error::InvalidMessage(_) => Some(TlsFault::NoTls),
            _ => None,
        }
    }
}

impl Tls {
    /// The name the certificate of the server must have.
    pub(crate) fn name(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned()).map_err(|source| TlsError::Name {
            name: name.to_owned(),
            source,
        })
    }

    /// Reads the files. TLS 1.3 alone; nothing of a connection is kept for the next one.
    pub(crate) fn config(&self) -> Result<ClientConfig, TlsError> {
        let no_certificate = |path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::Certificate { path, source }
        };
        let key = || self.key.clone();
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.ca)? {
            roots.add(authority).map_err(no_certificate(&self.ca))?;
        }
        let chain = certificates(&self.cert)?;
        let secret = PrivateKeyDer::from_pem_slice(&read(&self.key, OPEN_TO_OTHERS)?)
            .map_err(no("PRIVATE KEY", &self.key))?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(no_certificate(&self.cert))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, secret)
            .map_err(|source| match source {
                rustls::Error::InvalidCertificate(_) => no_certificate(&self.cert)(source),
                rustls::Error::InconsistentKeys(_) => TlsError::Mismatch {
                    path: key(),
                    source,
                },
                source => TlsError::Refused {
                    path: key(),
                    source,
                },
            })?;
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = no("CERTIFICATE", path);
    let bytes = read(path, 0)?;
    let all = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if all.is_empty() => Err(error(pem::Error::NoItemsFound)),
        Ok(all) => Ok(all),
        Err(source) => Err(error(source)),
    }
}

fn no(kind: &'static str, path: &Path) -> impl FnOnce(pem::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::Pem { path, kind, source }
}

fn read(path: &Path, forbidden: u32) -> Result<Vec<u8>, TlsError> {
    let error = |source| TlsError::Read {
        path: path.to_owned(),
        source,
    };
    // A pipe would make the client wait for whoever writes into it.
    if !fs::metadata(path).map_err(error)?.is_file() {
        return Err(error(io::ErrorKind::InvalidInput.into()));
    }
    let file = File::open(path).map_err(error)?;
    let mode = file.metadata().map_err(error)?.mode() & 0o7777;
    if mode & forbidden != 0 {
        let path = path.to_owned();
        return Err(TlsError::Mode { path, mode });
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).map_err(error)?;
    Ok(bytes)
}
