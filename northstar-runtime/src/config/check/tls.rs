//! What a console over TLS has to say.

use super::path;
use crate::config::{
    ConfigError, ValueError, raw,
    tls::{Subject, SubjectPeer, Tls},
    value::At,
};
use std::path::PathBuf;

/// The files and the peers of a table with a `tls://` URL, taken out of it.
pub(super) fn checked(
    key: &str,
    (host, port): (String, u16),
    table: &mut raw::Table,
) -> Result<Tls, ConfigError> {
    let file = |name: &str, file: Option<PathBuf>| {
        let key = format!("{key}.{name}");
        match file {
            Some(file) => path(&key, file),
            None => Err(ValueError::TlsFile).at(key),
        }
    };
    let crl = table.client_crl.take();
    Ok(Tls {
        host,
        port,
        cert: file("cert", table.cert.take())?,
        key: file("key", table.key.take())?,
        client_ca: file("client_ca", table.client_ca.take())?,
        client_crl: crl
            .map(|crl| path(&format!("{key}.client_crl"), crl))
            .transpose()?,
        peers: peers(key, table.peers.take().unwrap_or_default())?,
    })
}

fn peers(key: &str, raw: Vec<raw::Peer>) -> Result<Vec<SubjectPeer>, ConfigError> {
    let mut peers: Vec<SubjectPeer> = Vec::new();
    for (index, peer) in raw.into_iter().enumerate() {
        let of_index = |index: usize| format!("{key}.peers[{index}].subject");
        let key = |name: &str| format!("{key}.peers[{index}].{name}");
        for (name, given) in [("uid", peer.uid), ("gid", peer.gid)] {
            if given.is_some() {
                let scheme = "unix://";
                return Err(ValueError::OtherScheme { scheme }).at(key(name));
            }
        }
        let subject = peer.subject.ok_or(ValueError::PeerWithoutId);
        let subject: Subject = subject
            .and_then(|text| text.parse().map_err(ValueError::Subject))
            .at(key("subject"))?;
        if let Some(of) = peers.iter().position(|other| other.subject == subject) {
            let of = of_index(of);
            return Err(ValueError::Duplicate { of }).at(key("subject"));
        }
        let permissions = peer.permissions;
        peers.push(SubjectPeer {
            subject,
            permissions,
        });
    }
    if peers.is_empty() {
        return Err(ValueError::NoSubjects).at(format!("{key}.peers"));
    }
    Ok(peers)
}
