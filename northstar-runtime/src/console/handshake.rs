//! The first exchange of a connection: the client says which protocol it speaks and whether it wants notifications.

use super::input::{Input, LineError, LineLimits};
use crate::supervisor::report;
use northstar_api::{Connect, ConnectNack, Message, VERSION, accepts, codec};
use northstar_manifest::{Permission, Permissions};
use serde::Deserialize;
use std::time::Duration;
use tokio::io::AsyncRead;

/// Longest `connect` in bytes. It keeps what a client can make the daemon hold before it has said who it is small; the largest
/// filter fits.
const LONGEST_CONNECT: usize = 12 * 1024;

/// Why a client never got as far as an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error(transparent)]
    Line(#[from] LineError),
    #[error("the connection was closed before `connect`")]
    Closed,
    #[error("the first line is no message")]
    Malformed(#[from] codec::CodecError),
    #[error("the first message is not `connect`")]
    NotConnect,
}

/// A `connect` whose extensions may be anything.
#[derive(Deserialize)]
struct Loose {
    connect: LooseConnect,
}

#[derive(Deserialize)]
struct LooseConnect {
    version: semver::Version,
    #[serde(rename = "subscribe_notifications")]
    _subscribe: bool,
}

/// Reads `connect`. The caller says how long to wait for it. The inner result is a refusal that can be answered.
pub(super) async fn receive<R: AsyncRead + Unpin>(
    input: &mut Input<R>,
) -> Result<Result<Connect, ConnectNack>, HandshakeError> {
    // Without a deadline of its own, once begun the line has to end as soon as any other.
    let limits = LineLimits {
        length: LONGEST_CONNECT,
        idle: None,
        stall: Duration::from_secs(10),
    };
    let line = input.line(limits).await?.ok_or(HandshakeError::Closed)?;
    match codec::decode(&line.text) {
        Ok(Message::Connect(connect)) => Ok(Ok(connect)),
        Ok(_) => Err(HandshakeError::NotConnect),
        Err(error) => match serde_json::from_slice::<Loose>(&line.text) {
            // The version comes first here too.
            Ok(loose) if !accepts(&loose.connect.version) => {
                Ok(Err(ConnectNack::InvalidProtocolVersion {
                    version: VERSION,
                }))
            }
            // It can only be the extensions that are wrong.
            Ok(_) => Ok(Err(ConnectNack::InvalidExtension {
                extension: "extensions".to_owned(),
                cause: report(&error),
            })),
            Err(_) => Err(error.into()),
        },
    }
}

/// Whether the client may stay. The version comes first: who speaks another protocol would not understand the rest.
pub(super) fn judge(connect: &Connect, permissions: &Permissions) -> Result<(), ConnectNack> {
    if !accepts(&connect.version) {
        return Err(ConnectNack::InvalidProtocolVersion { version: VERSION });
    }
    if connect.subscribe_notifications && !permissions.contains(Permission::Notifications) {
        return Err(ConnectNack::PermissionDenied);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(version: &str, subscribe_notifications: bool, full: bool) -> Result<(), ConnectNack> {
        let version = version.parse().unwrap();
        let connect = Connect {
            version,
            ..Connect::new(subscribe_notifications)
        };
        let permissions = if full {
            Permissions::full()
        } else {
            Permissions::none()
        };
        judge(&connect, &permissions)
    }

    #[test]
    fn version_and_subscription_are_judged_in_this_order() {
        let version = || Err(ConnectNack::InvalidProtocolVersion { version: VERSION });
        let table = [
            ("0.9.2", true, true, Ok(())),
            ("0.9.0", false, false, Ok(())),
            ("0.99.0", false, false, Ok(())),
            ("0.9.2", true, false, Err(ConnectNack::PermissionDenied)),
            ("0.8.0", true, false, version()),
            ("1.0.0", false, true, version()),
            ("0.9.0-alpha", false, true, version()),
        ];
        for (version, subscribe, full, expected) in table {
            assert_eq!(
                judged(version, subscribe, full),
                expected,
                "{version} {subscribe} {full}"
            );
        }
    }
}
