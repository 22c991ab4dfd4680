//! The files of a console over TLS: read, parsed and checked against each other.
//!
//! No clock is looked at: a device whose clock is not set yet starts like any other. Validity is judged in each handshake.

use super::Tls;
use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use std::{
    fs::{self, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::Zeroizing;

/// Largest file in bytes: lists of revoked certificates grow, but not beyond this.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Permission bits a file must not have (inode(7)): nobody else may change what is trusted, nor see the key.
const WRITABLE: u32 = 0o022;
const OPEN_TO_OTHERS: u32 = 0o007;

/// A file of a console over TLS that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key} = {path:?} is not usable")]
pub struct FileError {
    /// The key in the configuration: `cert`, `key`, `client_ca` or `client_crl`.
    pub key: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub source: FileProblem,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    /// Not a file of bytes.
    #[error("it is no regular file")]
    NoFile,
    /// Others can do with it what nobody else must.
    #[error(
        "its mode is {mode:04o}: nobody but its owner may write to it (chmod go-w), and others must not read a key (chmod o=)"
    )]
    Mode {
        /// Its permission bits.
        mode: u32,
    },
    /// Too large for what it should be.
    #[error("it is larger than {LARGEST} bytes")]
    TooLarge,
    /// Not PEM.
    #[error("it is malformed PEM")]
    Pem(#[source] pem::Error),
    /// Nothing in it of the kind that is needed.
    #[error("there is no {kind} in it (a PEM block is needed)")]
    Empty {
        /// What is needed.
        kind: &'static str,
    },
    /// The certificate is not understood: most likely it is of X.509 version 1.
    #[error(
        "it is not accepted as a certificate of X.509 version 3 (`openssl x509 -req` makes one with -extfile)"
    )]
    Certificate(#[source] rustls::Error),
    /// The key is not understood, or is not that of the certificate.
    #[error("it is not accepted")]
    Tls(#[source] rustls::Error),
    /// The authorities or the lists of revoked certificates are not understood.
    #[error("it is not accepted")]
    Verifier(#[source] VerifierBuilderError),
}

/// What is in the files.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// The daemon's certificate and key, which belong together.
    pub identity: Arc<CertifiedKey>,
    /// Knows the authorities of the clients and what they have revoked.
    pub clients: Arc<dyn ClientCertVerifier>,
    /// What `clients` was made from: if it differs, so may the judgement about a client.
    pub trust: Vec<Vec<u8>>,
}

/// Which files there are, to notice when one is replaced or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamps(Vec<Option<[i64; 7]>>);

impl Tls {
    /// Reads the files and checks what can be checked without a client.
    pub(crate) fn read(&self) -> Result<Credentials, FileError> {
        let provider = Arc::new(ring::default_provider());
        let (identity_chain, key) = (self.certificates("cert", &self.cert)?, self.private_key()?);
        let identity = identity(identity_chain, key, &provider)
            .map_err(|(name, source)| self.error(name, source))?;
        let roots = self.certificates("client_ca", &self.client_ca)?;
        let crls = match &self.client_crl {
            Some(path) => list("client_crl", path, "X509 CRL")?,
            None => Vec::new(),
        };
        let trust = roots
            .iter()
            .map(|root| root.to_vec())
            .chain(
                crls.iter()
                    .map(|crl: &CertificateRevocationListDer| crl.to_vec()),
            )
            .collect();
        Ok(Credentials {
            identity: Arc::new(identity),
            clients: self.verifier(roots, crls, provider)?,
            trust,
        })
    }

    /// The error for a certificate that no connection can be made with.
    pub(crate) fn unusable(&self, error: rustls::Error) -> FileError {
        self.error("cert", FileProblem::Tls(error))
    }

    /// What tells the files of now from those of later.
    pub(crate) fn stamps(&self) -> Stamps {
        let files = [
            Some(&self.cert),
            Some(&self.key),
            Some(&self.client_ca),
            self.client_crl.as_ref(),
        ];
        let stamp = |path: &PathBuf| {
            let file = fs::metadata(path).ok()?;
            let size = i64::try_from(file.size()).unwrap_or(i64::MAX);
            Some([
                file.dev().cast_signed(),
                file.ino().cast_signed(),
                size,
                file.mtime(),
                file.mtime_nsec(),
                file.ctime(),
                file.ctime_nsec(),
            ])
        };
        Stamps(files.into_iter().flatten().map(stamp).collect())
    }

    fn certificates(
        &self,
        key: &'static str,
        path: &Path,
    ) -> Result<Vec<CertificateDer<'static>>, FileError> {
        list(key, path, "CERTIFICATE")
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, FileError> {
        let bytes = read("key", &self.key, WRITABLE | OPEN_TO_OTHERS)?;
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
            let problem = match error {
                pem::Error::NoItemsFound => FileProblem::Empty {
                    kind: "PRIVATE KEY",
                },
                error => FileProblem::Pem(error),
            };
            self.error("key", problem)
        })
    }

    fn verifier(
        &self,
        roots: Vec<CertificateDer<'static>>,
        crls: Vec<CertificateRevocationListDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, FileError> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store
                .add(root)
                .map_err(|error| self.error("client_ca", FileProblem::Certificate(error)))?;
        }
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider).with_crls(crls);
        builder.build().map_err(|error| {
            let key = match &error {
                VerifierBuilderError::InvalidCrl(_) => "client_crl",
                _ => "client_ca",
            };
            self.error(key, FileProblem::Verifier(error))
        })
    }

    fn error(&self, key: &'static str, source: FileProblem) -> FileError {
        let path = match key {
            "cert" => Some(&self.cert),
            "key" => Some(&self.key),
            "client_ca" => Some(&self.client_ca),
            _ => self.client_crl.as_ref(),
        };
        let path = path.cloned().unwrap_or_default();
        FileError { key, path, source }
    }
}

/// A key and a certificate that belong together. The error says which of the two is to blame.
fn identity(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, (&'static str, FileProblem)> {
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|error| ("key", FileProblem::Tls(error)))?;
    let identity = CertifiedKey::new(chain, key);
    match identity.keys_match() {
        Ok(()) => Ok(identity),
        Err(error @ rustls::Error::InconsistentKeys(_)) => Err(("key", FileProblem::Tls(error))),
        Err(error) => Err(("cert", FileProblem::Certificate(error))),
    }
}

/// All blocks of one kind in a PEM file; at least one.
fn list<T: PemObject>(
    key: &'static str,
    path: &Path,
    kind: &'static str,
) -> Result<Vec<T>, FileError> {
    let bytes = read(key, path, WRITABLE)?;
    let error = |source| FileError {
        key,
        path: path.to_owned(),
        source,
    };
    let all = T::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(FileProblem::Pem).map_err(error)?;
    if all.is_empty() {
        return Err(error(FileProblem::Empty { kind }));
    }
    Ok(all)
}

/// The bytes of a file, wiped when they are dropped; one may be the key.
fn read(key: &'static str, path: &Path, forbidden: u32) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let read = || {
        // Without waiting for a writer, in case it is a pipe.
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nonblock)
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(FileProblem::NoFile);
        }
        let mode = metadata.mode() & 0o7777;
        if mode & forbidden != 0 {
            return Err(FileProblem::Mode { mode });
        }
        if metadata.len() > LARGEST {
            return Err(FileProblem::TooLarge);
        }
        // One allocation of the whole size: growing would leave copies behind.
        let size = usize::try_from(metadata.len()).unwrap_or(0);
        let mut bytes = Zeroizing::new(Vec::with_capacity(size.saturating_add(1)));
        file.take(LARGEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| FileError {
        key,
        path: path.to_owned(),
        source,
    })
}
