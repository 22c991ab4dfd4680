//! Where a console is.

use std::{fmt, path::PathBuf, str::FromStr};

use thiserror::Error;
use url::{Host, Url};

/// Port of a `tcp://` or `tls://` URL without one.
pub const DEFAULT_PORT: u16 = 4200;

/// Where a console is: `tcp://HOST[:PORT]`, `tls://HOST[:PORT]` or `unix:///PATH`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A host name or address, without brackets, and a port.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// The same with TLS; needs [`Options::tls`](crate::Options::tls).
    Tls {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// Absolute path of a Unix stream socket.
    Unix(PathBuf),
}

/// A string that is not an [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidEndpoint {
    /// Not a URL.
    #[error(
        "`{text}` is not a URL: `tcp://HOST:PORT`, `tls://HOST:PORT` or `unix:///PATH` is needed"
    )]
    Url {
        /// The refused string.
        text: String,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// A scheme other than `tcp`, `tls` and `unix`.
    #[error(
        "`{text}` starts with `{scheme}`: `tcp://HOST:PORT`, `tls://HOST:PORT` or `unix:///PATH` is needed"
    )]
    Scheme {
        /// The refused string.
        text: String,
        /// Its scheme.
        scheme: String,
    },
    /// A `tcp` or `tls` URL without a host.
    #[error("`{text}` has no host: `tcp://HOST:PORT` or `tls://HOST:PORT` is needed")]
    NoHost {
        /// The refused string.
        text: String,
    },
    /// A `unix` URL whose path is not absolute.
    #[error("`{text}` has no absolute path: `unix:///PATH` with three slashes is needed")]
    NoPath {
        /// The refused string.
        text: String,
    },
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = || text.to_owned();
        let url = Url::parse(&text()).map_err(|source| InvalidEndpoint::Url {
            text: text(),
            source,
        })?;
        match url.scheme() {
            scheme @ ("tcp" | "tls") => {
                let host = match url.host() {
                    Some(Host::Domain(domain)) if !domain.is_empty() => domain.to_owned(),
                    Some(Host::Ipv4(address)) => address.to_string(),
                    Some(Host::Ipv6(address)) => address.to_string(),
                    _ => return Err(InvalidEndpoint::NoHost { text: text() }),
                };
                let port = url.port().unwrap_or(DEFAULT_PORT);
                Ok(match scheme {
                    "tls" => Endpoint::Tls { host, port },
                    _ => Endpoint::Tcp { host, port },
                })
            }
            "unix" => match url.to_file_path() {
                Ok(path) if url.host().is_none() && path.file_name().is_some() => {
                    Ok(Endpoint::Unix(path))
                }
                _ => Err(InvalidEndpoint::NoPath { text: text() }),
            },
            scheme => Err(InvalidEndpoint::Scheme {
                text: text(),
                scheme: scheme.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp { host, port } => authority(f, "tcp", host, *port),
            Endpoint::Tls { host, port } => authority(f, "tls", host, *port),
            Endpoint::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

fn authority(f: &mut fmt::Formatter<'_>, scheme: &str, host: &str, port: u16) -> fmt::Result {
    // An IPv6 address has colons of its own (RFC 3986, 3.2.2).
    match host.contains(':') {
        true => write!(f, "{scheme}://[{host}]:{port}"),
        false => write!(f, "{scheme}://{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let tcp = |host: &str, port| Endpoint::Tcp {
            host: host.to_owned(),
            port,
        };
        let cases = [
            (
                "tcp://localhost:4200",
                tcp("localhost", 4200),
                "tcp://localhost:4200",
            ),
            (
                "tcp://localhost",
                tcp("localhost", 4200),
                "tcp://localhost:4200",
            ),
            ("tcp://10.0.0.1:1", tcp("10.0.0.1", 1), "tcp://10.0.0.1:1"),
            ("tcp://[::1]:4201", tcp("::1", 4201), "tcp://[::1]:4201"),
            (
                "tls://fleet.example.org",
                Endpoint::Tls {
                    host: "fleet.example.org".to_owned(),
                    port: 4200,
                },
                "tls://fleet.example.org:4200",
            ),
            (
                "unix:///run/n.sock",
                Endpoint::Unix("/run/n.sock".into()),
                "unix:///run/n.sock",
            ),
            ("unix:///a b", Endpoint::Unix("/a b".into()), "unix:///a b"),
            (
                "unix:///a%20b",
                Endpoint::Unix("/a b".into()),
                "unix:///a b",
            ),
        ];
        for (text, endpoint, shown) in cases {
            assert_eq!(text.parse::<Endpoint>().as_ref(), Ok(&endpoint), "{text}");
            assert_eq!(endpoint.to_string(), shown);
        }
    }

    #[test]
    fn refusals() {
        let parse = |text: &str| text.parse::<Endpoint>().unwrap_err();
        assert!(matches!(parse("localhost"), InvalidEndpoint::Url { .. }));
        assert!(matches!(
            parse("tcp://localhost:99999"),
            InvalidEndpoint::Url { .. }
        ));
        assert!(matches!(
            parse("localhost:4200"),
            InvalidEndpoint::Scheme { .. }
        ));
        assert!(matches!(
            parse("http://localhost"),
            InvalidEndpoint::Scheme { .. }
        ));
        assert!(matches!(
            parse("tcp://:4200"),
            InvalidEndpoint::Url { .. } | InvalidEndpoint::NoHost { .. }
        ));
        assert!(matches!(parse("tcp:"), InvalidEndpoint::NoHost { .. }));
        assert!(matches!(
            parse("unix://run/n.sock"),
            InvalidEndpoint::NoPath { .. }
        ));
        assert!(matches!(
            parse("unix:n.sock"),
            InvalidEndpoint::NoPath { .. }
        ));
        assert!(matches!(parse("unix:///"), InvalidEndpoint::NoPath { .. }));
    }
}
