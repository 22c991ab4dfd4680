//! Who is at the other end of a connection, as far as the kernel or the daemon itself says so. What a client claims
//! about itself, the name of its socket included, is never looked at.

use crate::config::{Listener, Peer as PeerRule};
use northstar_manifest::{Container, Permissions};
use std::{fmt, net::SocketAddr};
use tokio::net::unix::UCred;

/// The name of all clients outside of containers.
const EXTERN: &str = "extern";

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// A client on TCP.
    Tcp(SocketAddr),
    /// A client on TLS, by the first name in its certificate that the configuration knows.
    Tls {
        address: SocketAddr,
        subject: String,
    },
    /// A process of this host, by the credentials it had when it connected (`SO_PEERCRED`, unix(7)).
    Process {
        uid: u32,
        gid: u32,
        pid: Option<i32>,
    },
    /// A container, on the socket the daemon gave it.
    Container(Container),
}

/// What counts as the same peer for the limit of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    Address(std::net::IpAddr),
    User(u32),
}

impl Peer {
    pub(super) fn process(credentials: &UCred) -> Peer {
        Peer::Process {
            uid: credentials.uid(),
            gid: credentials.gid(),
            pid: credentials.pid(),
        }
    }

    /// The name by which tokens know it.
    pub(super) fn name(&self) -> &str {
        match self {
            Peer::Tcp(_) | Peer::Tls { .. } | Peer::Process { .. } => EXTERN,
            // A package may have that name, too. It is none of those, and no request can name it.
            Peer::Container(container) if container.name().as_ref() == EXTERN => "",
            Peer::Container(container) => container.name().as_ref(),
        }
    }

    /// What it may do on a listener.
    pub(super) fn permissions(&self, listener: &Listener) -> Permissions {
        let fits = |rule: &&PeerRule| match self {
            Peer::Process { uid, gid, .. } => {
                rule.uid.is_none_or(|rule| rule == *uid) && rule.gid.is_none_or(|rule| rule == *gid)
            }
            Peer::Tcp(_) | Peer::Tls { .. } | Peer::Container(_) => false,
        };
        let rule = listener.peers.iter().find(fits);
        rule.map_or(&listener.permissions, |rule| &rule.permissions)
            .clone()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => write!(f, "{address}"),
            Peer::Tls { address, subject } => write!(f, "{subject:?} at {address}"),
            Peer::Process {
                uid,
                pid: Some(pid),
                ..
            } => write!(f, "process {pid} of user {uid}"),
            Peer::Process { uid, pid: None, .. } => write!(f, "a process of user {uid}"),
            Peer::Container(container) => write!(f, "container {container}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Address, ConnectionOptions, ListenerOptions};
    use northstar_manifest::Permission;

    fn process(uid: u32, gid: u32) -> Peer {
        let pid = None;
        Peer::Process { uid, gid, pid }
    }

    fn only(permission: Permission) -> Permissions {
        [permission].into_iter().collect()
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rule = |uid, gid, permission| PeerRule {
            uid,
            gid,
            permissions: only(permission),
        };
        let listener = Listener {
            address: Address::Unix {
                path: "/s".into(),
                mode: 0o600,
            },
            permissions: only(Permission::Ident),
            peers: vec![
                rule(Some(1), Some(1), Permission::Kill),
                rule(Some(1), None, Permission::List),
                rule(None, Some(1), Permission::Start),
            ],
            limits: ListenerOptions::default(),
            options: ConnectionOptions::default(),
        };
        let table = [
            (process(1, 1), Permission::Kill),
            (process(1, 2), Permission::List),
            (process(2, 1), Permission::Start),
            (process(2, 2), Permission::Ident),
            (process(0, 0), Permission::Ident),
            (Peer::Tcp("127.0.0.1:1".parse().unwrap()), Permission::Ident),
        ];
        for (peer, permission) in table {
            assert_eq!(peer.permissions(&listener), only(permission), "{peer}");
        }
    }

    #[test]
    fn only_a_container_has_a_name_of_its_own() {
        let container: Container = "app:1.0.0".parse().unwrap();
        assert_eq!(Peer::Container(container).name(), "app");
        let container: Container = "extern:0.0.0".parse().unwrap();
        assert_eq!(Peer::Container(container).name(), "");
        assert_eq!(process(0, 0).name(), "extern");
        assert_eq!(Peer::Tcp("[::1]:1".parse().unwrap()).name(), "extern");
    }
}
