//! What to try next.

use std::{io, path::Path};

use northstar_api::Error;
use northstar_client::{ConnectError, TlsError, TlsFault};

/// After a connection that there is not.
pub fn connect(error: &ConnectError) -> Option<String> {
    let hint = match error {
        ConnectError::Unreachable { source, .. }
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            "the socket belongs to another user: `mode` and `peers` of the console in the \
             daemon's configuration decide"
        }
        ConnectError::Unreachable { .. } => {
            "is `northstar` running, and does its `console` have this address? --url or NSTAR_URL \
             names another"
        }
        ConnectError::Timeout { .. } => {
            "no answer and no refusal: the address may be wrong or behind a firewall, or what listens \
             there is no console or hangs"
        }
        ConnectError::Certificates(TlsError::NoCertificates) => {
            "--tls-ca, --tls-cert and --tls-key name the files, or NSTAR_TLS_CA, NSTAR_TLS_CERT and \
             NSTAR_TLS_KEY"
        }
        ConnectError::Certificates(error) => own_files(error)?,
        ConnectError::Tls { .. } => daemon_certificate(error.tls_fault()),
        ConnectError::CertificateRefused(_) => own_certificate(error.tls_fault()),
        ConnectError::PermissionDenied => {
            "the console needs the permission `notifications` for this"
        }
        ConnectError::Version { .. } => "take the nstar that belongs to this daemon",
        ConnectError::Closed | ConnectError::Unexpected | ConnectError::Handshake(_) => {
            "is this the address of a console? That of one over TLS begins with tls://. The daemon also \
             closes at once if it has too many connections"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// After files of this client that are of no use.
fn own_files(error: &TlsError) -> Option<&'static str> {
    match error {
        TlsError::Pem { .. } => Some("--tls-ca, --tls-cert and --tls-key take PEM files"),
        TlsError::Mismatch { .. } => Some("--tls-key has to be the key of --tls-cert"),
        TlsError::Certificate { .. } => Some(
            "it has to be one of X.509 version 3: `openssl x509 -req` makes them with -extfile \
             (docs/configuration.md)",
        ),
        // They say what to do themselves.
        _ => None,
    }
}

/// After a certificate of the daemon that this client does not accept.
fn daemon_certificate(fault: Option<TlsFault>) -> &'static str {
    match fault {
        Some(TlsFault::Authority) => {
            "--tls-ca has to have the authority that has signed the daemon's certificate"
        }
        Some(TlsFault::Name) => {
            "--tls-name takes a name of the daemon's certificate (subjectAltName) if that is not the host"
        }
        Some(TlsFault::Validity) => {
            "the daemon needs a new certificate (`cert` of its console), unless the clock of this \
             machine is wrong: see `date`"
        }
        Some(TlsFault::Usage) => {
            "the daemon's certificate has to be for TLS servers (extendedKeyUsage serverAuth)"
        }
        Some(TlsFault::NoTls) => "is it a console with TLS? Without it the URL begins with tcp://",
        _ => {
            "--tls-ca has to have the authority of the daemon's certificate, and --tls-name the name \
             in it if that is not the host"
        }
    }
}

/// After a certificate of this client that the daemon does not accept.
fn own_certificate(fault: Option<TlsFault>) -> &'static str {
    match fault {
        Some(TlsFault::Authority) => {
            "`client_ca` of the console in the daemon's configuration has to have the authority that \
             has signed --tls-cert, and `client_crl`, if there is one, a list of that authority"
        }
        Some(TlsFault::Validity) => {
            "--tls-cert has to be renewed (`openssl x509 -noout -dates -in FILE`), unless the clock of \
             the daemon's machine is wrong"
        }
        Some(TlsFault::Revoked) => {
            "`client_crl` of the console revokes --tls-cert: another one has to be issued"
        }
        Some(TlsFault::Usage) => {
            "--tls-cert has to be for TLS clients (extendedKeyUsage clientAuth)"
        }
        Some(TlsFault::Subject) => {
            "`peers` of the console in the daemon's configuration has to have the subject of --tls-cert \
             (`openssl x509 -noout -subject -ext subjectAltName -in FILE`)"
        }
        _ => {
            "`client_ca` of the console in the daemon's configuration has to have the authority of \
             --tls-cert, and `peers` its subject"
        }
    }
}

/// After a package that the daemon did not take.
pub fn package(path: &Path, error: &Error) -> Option<String> {
    let hint = match error {
        Error::InstallDuplicate { container } => {
            return Some(format!("`nstar uninstall {container}` makes room for it"));
        }
        Error::InvalidRepository { .. } => {
            "`nstar repositories` lists them; of two arguments the second is a repository unless it \
             is a file"
        }
        Error::RepositoryFull { .. } => {
            "`nstar uninstall` something, or raise `capacity_num` or `capacity_size` of the repository"
        }
        Error::InstallTooLarge { .. } => {
            "`max_npk_install_size` of the console in the daemon's configuration is the limit"
        }
        Error::TooManyInstalls { .. } => "try again when the others are done",
        Error::PackageRefused { .. } | Error::Unexpected { .. } if path.as_os_str() == "-" => {
            "`sextant inspect` shows what is in it, once it is a file"
        }
        Error::PackageRefused { .. } | Error::Unexpected { .. } => {
            return Some(format!(
                "`sextant inspect {}` shows what is in it",
                path.display()
            ));
        }
        _ => return None,
    };
    Some(hint.to_owned())
}
