//! Which rule fits a certificate.

use crate::config::{Subject, SubjectPeer};
use rustls::pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, x509::X509Name,
};

/// The first of `peers` whose name is in the certificate. The certificate must have been verified: what it says is not
/// worth anything otherwise.
pub(super) fn known<'a>(
    certificate: &CertificateDer<'_>,
    peers: &'a [SubjectPeer],
) -> Option<&'a SubjectPeer> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let common_name = only_common_name(certificate.subject());
    // A certificate whose alternative names cannot be read has none.
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let alternatives = alternatives.map_or(&[][..], |names| &names.value.general_names);
    let has = |subject: &Subject| match subject {
        Subject::CommonName(name) => common_name == Some(name.as_str()),
        Subject::Dns(wanted) => alternatives.iter().any(
            |name| matches!(name, GeneralName::DNSName(name) if name.eq_ignore_ascii_case(wanted)),
        ),
        Subject::Uri(wanted) => alternatives
            .iter()
            .any(|name| matches!(name, GeneralName::URI(uri) if uri == wanted)),
    };
    peers.iter().find(|peer| has(&peer.subject))
}

/// Of several common names none counts: it would not be clear which of them the authority has checked.
fn only_common_name<'a>(subject: &'a X509Name<'_>) -> Option<&'a str> {
    let mut names = subject.iter_common_name();
    match (names.next(), names.next()) {
        (Some(name), None) => name.as_str().ok(),
        _ => None,
    }
}
