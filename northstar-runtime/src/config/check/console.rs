//! Listeners and the limits of their connections.

use super::{MILLISECOND, tls};
use crate::config::{
    ConfigError, ValueError,
    address::{self, Url},
    checked::{Address, ConnectionOptions, Listener, ListenerOptions, MAX_REQUEST_SIZE, Peer},
    raw,
    value::{self, At},
};
use northstar_manifest::Permissions;
use std::{num::NonZeroU32, time::Duration};

/// More requests per second than can be told from no limit.
const MAX_RATE: u64 = 1_000_000_000;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The listeners, and the options of containers' consoles as far as `console` says them.
pub(super) fn listeners(
    raw: raw::Console,
) -> Result<(Vec<Listener>, ConnectionOptions), ConfigError> {
    match raw {
        raw::Console::List(entries) => {
            let listeners = entries
                .into_iter()
                .enumerate()
                .map(|(index, raw::Entry(table))| {
                    listener(&format!("console[{index}]"), "url", table)
                })
                .collect::<Result<Vec<_>, _>>()?;
            for (index, one) in listeners.iter().enumerate() {
                let earlier = listeners.iter().take(index);
                if let Some(of) = earlier.into_iter().position(|other| conflict(other, one)) {
                    let of = format!("console[{of}].url");
                    return Err(ValueError::Duplicate { of }).at(format!("console[{index}].url"));
                }
            }
            Ok((listeners, ConnectionOptions::for_containers()))
        }
        raw::Console::Tables(tables) => {
            let options = tables.options.unwrap_or_default();
            let containers = ConnectionOptions::for_containers();
            let containers = connection_options("console.options", &options, containers)?;
            let global = tables.global.map(|global| {
                let table = raw::Table {
                    url: global.bind,
                    permissions: global.permissions,
                    options: global.options.or(Some(options)),
                    ..raw::Table::default()
                };
                listener("console.global", "bind", table)
            });
            Ok((global.transpose()?.into_iter().collect(), containers))
        }
    }
}

/// Both want the same address. Any free port is always another one.
fn conflict(one: &Listener, other: &Listener) -> bool {
    match (&one.address, &other.address) {
        (Address::Tcp { port: 0, .. }, Address::Tcp { .. }) => false,
        (Address::Tcp { host: a, port: p }, Address::Tcp { host: b, port: q }) => p == q && a == b,
        (Address::Tls(tls), Address::Tls(_) | Address::Tcp { .. }) if tls.port == 0 => false,
        (Address::Tcp { port: 0, .. }, Address::Tls(_)) => false,
        (Address::Tls(a), Address::Tls(b)) => a.port == b.port && a.host == b.host,
        (Address::Tls(tls), Address::Tcp { host, port })
        | (Address::Tcp { host, port }, Address::Tls(tls)) => {
            tls.port == *port && tls.host == *host
        }
        (Address::Unix { path: a, .. }, Address::Unix { path: b, .. }) => a == b,
        _ => false,
    }
}

fn listener(key: &str, url_key: &str, table: raw::Table) -> Result<Listener, ConfigError> {
    let url_key = format!("{key}.{url_key}");
    let url = address::parse(&table.url).at(&url_key)?;
    let only_for = |name: &str, scheme: &'static str, given: bool| {
        let given = if given {
            Err(ValueError::OtherScheme { scheme })
        } else {
            Ok(())
        };
        given.at(format!("{key}.{name}"))
    };
    if !matches!(url, Url::Unix { .. }) {
        only_for("mode", "unix://", table.mode.is_some())?;
    }
    let mut table = table;
    if matches!(url, Url::Tls { .. }) {
        only_for(
            "permissions",
            "tcp:// and unix://",
            table.permissions.is_some(),
        )?;
    } else {
        if !matches!(url, Url::Unix { .. }) {
            only_for("peers", "unix:// and tls://", table.peers.is_some())?;
        }
        only_for("cert", "tls://", table.cert.is_some())?;
        only_for("key", "tls://", table.key.is_some())?;
        only_for("client_ca", "tls://", table.client_ca.is_some())?;
        only_for("client_crl", "tls://", table.client_crl.is_some())?;
    }
    let address = match url {
        Url::Tcp { host, port } => address::loopback(host, port).at(&url_key)?,
        Url::Unix { path } => Address::Unix {
            path,
            mode: mode(&format!("{key}.mode"), table.mode)?,
        },
        Url::Tls { host, port } => {
            Address::Tls(Box::new(tls::checked(key, (host, port), &mut table)?))
        }
    };
    // Who names the users that may do something has not said that all others may do everything.
    let permissions = match (table.permissions, &table.peers) {
        _ if matches!(address, Address::Tls(_)) => Permissions::none(),
        (Some(permissions), _) => permissions,
        (None, Some(_)) => Permissions::none(),
        (None, None) => Permissions::full(),
    };
    let options = table.options.unwrap_or_default();
    let options_key = format!("{key}.options");
    Ok(Listener {
        address,
        permissions,
        peers: peers(key, table.peers.unwrap_or_default())?,
        limits: listener_options(&options_key, &options)?,
        options: connection_options(&options_key, &options, ConnectionOptions::default())?,
    })
}

fn mode(key: &str, given: Option<String>) -> Result<u32, ConfigError> {
    let Some(text) = given else {
        return Ok(0o600);
    };
    let octal = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = u32::from_str_radix(&text, 8)
        .ok()
        .filter(|mode| octal && *mode <= 0o777);
    mode.ok_or(ValueError::Mode { text }).at(key)
}

fn peers(key: &str, peers: Vec<raw::Peer>) -> Result<Vec<Peer>, ConfigError> {
    let peer = |(index, peer): (usize, raw::Peer)| {
        if peer.subject.is_some() {
            let scheme = "tls://";
            let key = format!("{key}.peers[{index}].subject");
            return Err(ValueError::OtherScheme { scheme }).at(key);
        }
        if peer.uid.is_none() && peer.gid.is_none() {
            return Err(ValueError::PeerWithoutId).at(format!("{key}.peers[{index}]"));
        }
        Ok(Peer {
            uid: peer.uid,
            gid: peer.gid,
            permissions: peer.permissions,
        })
    };
    peers.into_iter().enumerate().map(peer).collect()
}

fn listener_options(key: &str, raw: &raw::Options) -> Result<ListenerOptions, ConfigError> {
    let default = ListenerOptions::default();
    let limit = |name: &str, given: Option<u64>, default: usize| {
        let limit = value::number(&format!("{key}.{name}"), given, default as u64, 1, 65_536)?;
        Ok::<_, ConfigError>(usize::try_from(limit).unwrap_or(default))
    };
    // Who raises the rate of a connection means its peer too.
    let of_connection = raw.max_requests_per_sec.unwrap_or(1000);
    let rate = value::number(
        &format!("{key}.max_requests_per_sec_per_peer"),
        raw.max_requests_per_sec_per_peer,
        of_connection.saturating_mul(5).clamp(1, MAX_RATE),
        1,
        MAX_RATE,
    )?;
    Ok(ListenerOptions {
        max_connections: limit(
            "max_connections",
            raw.max_connections,
            default.max_connections,
        )?,
        max_connections_per_peer: limit(
            "max_connections_per_peer",
            raw.max_connections_per_peer,
            default.max_connections_per_peer,
        )?,
        max_pending_connections: limit(
            "max_pending_connections",
            raw.max_pending_connections,
            default.max_pending_connections,
        )?,
        max_requests_per_sec_per_peer: non_zero(rate)
            .unwrap_or(default.max_requests_per_sec_per_peer),
    })
}

/// `container_console_options`.
pub(super) fn container_options(raw: &raw::Options) -> Result<ConnectionOptions, ConfigError> {
    let key = "container_console_options";
    for_containers(key, raw)?;
    connection_options(key, raw, ConnectionOptions::for_containers())
}

/// A container's console is one connected socket: nothing listens.
fn for_containers(key: &str, raw: &raw::Options) -> Result<(), ConfigError> {
    let listener_only = [
        ("max_connections", raw.max_connections),
        ("max_connections_per_peer", raw.max_connections_per_peer),
        ("max_pending_connections", raw.max_pending_connections),
        (
            "max_requests_per_sec_per_peer",
            raw.max_requests_per_sec_per_peer,
        ),
    ];
    match listener_only.iter().find(|(_, given)| given.is_some()) {
        Some((name, _)) => Err(ValueError::NotForContainers).at(format!("{key}.{name}")),
        None => Ok(()),
    }
}

fn connection_options(
    key: &str,
    raw: &raw::Options,
    default: ConnectionOptions,
) -> Result<ConnectionOptions, ConfigError> {
    let key = |name: &str| format!("{key}.{name}");
    let timeout = |name: &str, given: &Option<String>, default: Duration| {
        value::duration(&key(name), given.as_deref(), default, MILLISECOND..=DAY)
    };
    let or_never =
        |name: &str, given: &Option<String>, default: Option<Duration>| match given.as_deref() {
            None => Ok(default),
            Some("never") => Ok(None),
            Some(_) => timeout(name, given, Duration::ZERO).map(Some),
        };
    let request_size = value::size(
        &key("max_request_size"),
        raw.max_request_size.as_deref(),
        default.max_request_size as u64,
        256..=MAX_REQUEST_SIZE as u64,
    )?;
    let rate = value::number(
        &key("max_requests_per_sec"),
        raw.max_requests_per_sec,
        default.max_requests_per_sec.get().into(),
        1,
        MAX_RATE,
    )?;
    let min_rate = value::size(
        &key("npk_min_rate"),
        raw.npk_min_rate.as_deref(),
        default.npk_min_rate.get().into(),
        1..=1 << 30,
    )?;
    Ok(ConnectionOptions {
        max_request_size: usize::try_from(request_size).unwrap_or(default.max_request_size),
        max_requests_per_sec: non_zero(rate).unwrap_or(default.max_requests_per_sec),
        max_npk_install_size: value::size(
            &key("max_npk_install_size"),
            raw.max_npk_install_size.as_deref(),
            default.max_npk_install_size,
            1..=1 << 40,
        )?,
        npk_stream_timeout: timeout(
            "npk_stream_timeout",
            &raw.npk_stream_timeout,
            default.npk_stream_timeout,
        )?,
        npk_min_rate: non_zero(min_rate).unwrap_or(default.npk_min_rate),
        token_validity: timeout(
            "token_validity",
            &raw.token_validity,
            default.token_validity,
        )?,
        connect_timeout: or_never(
            "connect_timeout",
            &raw.connect_timeout,
            default.connect_timeout,
        )?,
        idle_timeout: or_never("idle_timeout", &raw.idle_timeout, default.idle_timeout)?,
        stall_timeout: timeout("stall_timeout", &raw.stall_timeout, default.stall_timeout)?,
    })
}

fn non_zero(number: u64) -> Option<NonZeroU32> {
    u32::try_from(number).ok().and_then(NonZeroU32::new)
}
