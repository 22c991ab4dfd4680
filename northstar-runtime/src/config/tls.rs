//! What a console over TLS needs: files of certificates, and which certificate may do what.

mod files;
#[cfg(test)]
mod tests;

pub(crate) use files::{Credentials, Stamps};
pub use files::{FileError, FileProblem};

use northstar_manifest::Permissions;
use std::{fmt, path::PathBuf, str::FromStr};

/// Longest subject in bytes: far beyond names in use (a common name has at most 64, RFC 5280, A.1).
const LONGEST_SUBJECT: usize = 256;

/// A console over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Name or address of a network interface.
    pub host: String,
    /// Port; 0 is any free one.
    pub port: u16,
    /// The daemon's certificate, followed by those between it and its authority.
    pub cert: PathBuf,
    /// The private key of the daemon's certificate.
    pub key: PathBuf,
    /// The authorities that sign the certificates of clients.
    pub client_ca: PathBuf,
    /// Lists of certificates that the authorities have revoked.
    pub client_crl: Option<PathBuf>,
    /// What certain clients may do; the first that fits decides.
    pub peers: Vec<SubjectPeer>,
}

/// Permissions of clients with a certain certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPeer {
    /// The name in the certificate.
    pub subject: Subject,
    /// What the client may do.
    pub permissions: Permissions,
}

/// A name in a certificate.
///
/// `NAME` is the common name of the subject, `DNS:NAME` and `URI:TEXT` are alternative names of the subject (RFC 5280, 4.2.1.6).
/// Nothing but the whole name fits: there are no wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The only common name.
    CommonName(String),
    /// One of the DNS names; upper and lower case are the same (RFC 4343).
    Dns(String),
    /// One of the URIs, byte for byte.
    Uri(String),
}

/// A string that is no [`Subject`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no subject (allowed: NAME, DNS:NAME or URI:TEXT of 1 to {LONGEST_SUBJECT} bytes without control characters)"
)]
pub struct InvalidSubject {
    /// What is written.
    pub text: String,
}

impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Subject, InvalidSubject> {
        let (subject, name): (fn(String) -> Subject, &str) = match text.split_once(':') {
            Some(("DNS", name)) => (Subject::Dns, name),
            Some(("URI", name)) => (Subject::Uri, name),
            _ => (Subject::CommonName, text),
        };
        let plain = !name.chars().any(char::is_control) && name.trim() == name;
        if plain && (1..=LONGEST_SUBJECT).contains(&name.len()) {
            Ok(subject(name.to_owned()))
        } else {
            Err(InvalidSubject {
                text: text.to_owned(),
            })
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::CommonName(name) => f.write_str(name),
            Subject::Dns(name) => write!(f, "DNS:{name}"),
            Subject::Uri(text) => write!(f, "URI:{text}"),
        }
    }
}

#[cfg(test)]
mod subjects {
    use super::*;

    #[test]
    fn subjects_are_what_they_are_written_as() {
        let name = |text: &str| text.to_owned();
        let table = [
            ("fleet", Subject::CommonName(name("fleet"))),
            ("Fleet Agent 7", Subject::CommonName(name("Fleet Agent 7"))),
            ("a:b", Subject::CommonName(name("a:b"))),
            ("dns:x", Subject::CommonName(name("dns:x"))),
            (
                "DNS:agent.example.org",
                Subject::Dns(name("agent.example.org")),
            ),
            (
                "URI:spiffe://example.org/fleet",
                Subject::Uri(name("spiffe://example.org/fleet")),
            ),
        ];
        for (text, subject) in table {
            assert_eq!(text.parse(), Ok(subject.clone()), "{text}");
            assert_eq!(subject.to_string(), text);
        }
        for text in ["", "DNS:", "URI:", "a\nb", " a", "DNS:a ", &"x".repeat(257)] {
            let refused = InvalidSubject {
                text: text.to_owned(),
            };
            assert_eq!(text.parse::<Subject>(), Err(refused));
        }
    }
}
