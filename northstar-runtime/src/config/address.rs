//! Console URLs. They are taken apart by hand: the paths of sockets are bytes that no URL parser should interpret.

use super::{Address, ValueError};
use std::{net::IpAddr, path::PathBuf};

/// What fits into `sun_path` with its terminating NUL (unix(7)).
const MAX_SOCKET_PATH: usize = 107;
/// Longest host name (RFC 1035, 2.3.4).
const MAX_HOST: usize = 253;

/// A URL taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Url {
    Tcp { host: String, port: u16 },
    Tls { host: String, port: u16 },
    Unix { path: PathBuf },
}

pub(super) fn parse(url: &str) -> Result<Url, ValueError> {
    match url.split_once("://") {
        Some(("tcp", rest)) => host_port(url, rest).map(|(host, port)| Url::Tcp { host, port }),
        Some(("tls", rest)) => host_port(url, rest).map(|(host, port)| Url::Tls { host, port }),
        Some(("unix", path)) => socket_path(url, path).map(|path| Url::Unix { path }),
        _ => Err(ValueError::Scheme {
            url: url.to_owned(),
        }),
    }
}

/// An unencrypted TCP address. A name is judged when it is resolved, before it is bound; what is written as an address
/// is judged here.
pub(super) fn loopback(host: String, port: u16) -> Result<Address, ValueError> {
    match host.parse::<IpAddr>() {
        Ok(address) if !address.to_canonical().is_loopback() => {
            Err(ValueError::NotLoopback { host })
        }
        _ => Ok(Address::Tcp { host, port }),
    }
}

fn host_port(url: &str, rest: &str) -> Result<(String, u16), ValueError> {
    let refused = || ValueError::HostPort {
        url: url.to_owned(),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = rest.rsplit_once(':').ok_or_else(refused)?;
    // `parse` alone would take a sign.
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits).ok_or_else(refused)?;
    let host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => address,
        None if is_host_name(host) => host,
        _ => return Err(refused()),
    };
    Ok((host.to_owned(), port))
}

fn is_host_name(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !host.is_empty() && host.len() <= MAX_HOST && host.bytes().all(allowed)
}

fn socket_path(url: &str, path: &str) -> Result<PathBuf, ValueError> {
    let url = || url.to_owned();
    if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
        return Err(ValueError::SocketPath { url: url() });
    }
    if path.len() > MAX_SOCKET_PATH {
        return Err(ValueError::SocketPathLength {
            url: url(),
            bytes: path.len(),
            max: MAX_SOCKET_PATH,
        });
    }
    Ok(PathBuf::from(path))
}
