//! An authority that issues and revokes certificates.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::Path;

pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub(super) struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

/// What is to be in a certificate.
pub(super) struct Names(CertificateParams);

impl Names {
    fn new(purpose: ExtendedKeyUsagePurpose) -> Names {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.extended_key_usages = vec![purpose];
        Names(params)
    }

    pub(super) fn server() -> Names {
        let mut names = Names::new(ExtendedKeyUsagePurpose::ServerAuth);
        names.0.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
        names
    }

    pub(super) fn common(name: &str) -> Names {
        Names::new(ExtendedKeyUsagePurpose::ClientAuth).and_common(name)
    }

    pub(super) fn dns(name: &str) -> Names {
        let mut names = Names::new(ExtendedKeyUsagePurpose::ClientAuth);
        names.0.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        names
    }

    pub(super) fn uri(uri: &str) -> Names {
        let mut names = Names::new(ExtendedKeyUsagePurpose::ClientAuth);
        names.0.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        names
    }

    /// One more common name.
    pub(super) fn and_common(mut self, name: &str) -> Names {
        let kind = match self.0.distinguished_name.get(&DnType::CommonName) {
            None => DnType::CommonName,
            // A name is kept once by its type; this is the same type under another name (X.520, 6.2.2).
            Some(_) => DnType::CustomDnType(vec![2, 5, 4, 3]),
        };
        self.0.distinguished_name.push(kind, name);
        self
    }

    pub(super) fn for_servers(mut self) -> Names {
        self.0.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self
    }

    pub(super) fn expired(mut self) -> Names {
        self.0.not_before = date_time_ymd(2000, 1, 1);
        self.0.not_after = date_time_ymd(2001, 1, 1);
        self
    }

    pub(super) fn not_yet_valid(mut self) -> Names {
        self.0.not_before = date_time_ymd(4000, 1, 1);
        self
    }

    pub(super) fn serial(mut self, number: u64) -> Names {
        self.0.serial_number = Some(SerialNumber::from(number));
        self
    }
}

impl Authority {
    pub(super) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(super) fn issue(&self, names: Names) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = names.0.signed_by(&key, &self.0).unwrap();
        Identity { certificate, key }
    }

    /// A list of revoked certificates by their serial numbers.
    pub(super) fn revocations(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

impl Identity {
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    pub(super) fn write(&self, certificate: &Path, key: &Path) {
        super::site::write(key, &self.key.serialize_pem());
        super::site::write(certificate, &self.certificate.pem());
    }
}
