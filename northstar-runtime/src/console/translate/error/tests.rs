use super::*;
use crate::supervisor::{Error, ExitStatus, Gone, InvalidArguments};
use northstar_manifest::Container;
use serde_json::Value;
use std::sync::Arc;

/// Every failure that has no word of its own in the protocol, or comes with data that is easily mixed up.
#[test]
fn every_error_has_its_documented_shape() {
    let container: Container = "app:1.0.0".parse().unwrap();
    let other: Container = "user:2.0.0".parse().unwrap();
    let repository: crate::config::RepositoryId = "r".parse().unwrap();
    let context = "c".to_owned();
    let cause = InvalidArguments::EmptyInit;
    let status = ExitStatus::Signalled(11);
    let denied = || Arc::new(io::Error::from(io::ErrorKind::PermissionDenied));
    let c = || container.clone();
    let r = || repository.clone();
    let table = [
        (
            Error::Configuration { context },
            r#"{"configuration":{"context":"c"}}"#,
        ),
        (
            Error::DuplicateContainer { container: c() },
            r#"{"duplicate_container":{"container":"app:1.0.0"}}"#,
        ),
        (
            Error::InvalidContainer { container: c() },
            r#"{"invalid_container":{"container":"app:1.0.0"}}"#,
        ),
        (
            Error::InvalidArguments { cause },
            r#"{"invalid_arguments":{"cause":"init is empty"}}"#,
        ),
        (
            Error::MountBusy { container: c() },
            r#"{"mount_busy":{"container":"app:1.0.0"}}"#,
        ),
        (
            Error::UmountBusy { container: other },
            r#"{"umount_busy":{"container":"user:2.0.0"}}"#,
        ),
        (
            Error::StartContainerStarted { container: c() },
            r#"{"start_container_started":{"container":"app:1.0.0"}}"#,
        ),
        (
            Error::StartContainerResource { container: c() },
            r#"{"start_container_resource":{"container":"app:1.0.0"}}"#,
        ),
        (
            Error::StartContainerMissingResource {
                container: c(),
                resource: "lib".parse().unwrap(),
                version: ">=1.2".parse().unwrap(),
            },
            r#"{"start_container_missing_resource":{"container":"app:1.0.0","resource":"lib","version":">=1.2"}}"#,
        ),
        (
            Error::StopContainerNotStarted { container: c() },
            r#"{"stop_container_not_started":{"container":"app:1.0.0"}}"#,
        ),
        (
            Error::InvalidRepository { repository: r() },
            r#"{"invalid_repository":{"repository":"r"}}"#,
        ),
        (
            Error::InstallDuplicate { container: c() },
            r#"{"install_duplicate":{"container":"app:1.0.0"}}"#,
        ),
        (
            Error::CriticalContainer {
                container: c(),
                status,
            },
            r#"{"critical_container":{"container":"app:1.0.0","status":{"signalled":{"signal":11}}}}"#,
        ),
        (
            Error::ShuttingDown,
            r#"{"unexpected":{"error":"the daemon shuts down"}}"#,
        ),
        (
            Error::Gone(Gone),
            r#"{"unexpected":{"error":"the supervisor has ended"}}"#,
        ),
        (
            Error::InstallAbandoned { repository: r() },
            r#"{"unexpected":{"error":"install into r: the upload was abandoned"}}"#,
        ),
        (
            Error::InvalidSignal { signal: 99 },
            r#"{"unexpected":{"error":"there is no signal 99"}}"#,
        ),
        (
            Error::Signal {
                container: c(),
                signal: 15,
                source: denied(),
            },
            r#"{"unexpected":{"error":"signal 15 to app:1.0.0: permission denied"}}"#,
        ),
        (
            Error::Wipe {
                container: c(),
                source: denied(),
            },
            r#"{"unexpected":{"error":"app:1.0.0 is uninstalled, but its data could not be wiped: permission denied"}}"#,
        ),
    ];
    for (failure, expected) in table {
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(
            serde_json::to_value(Words::default().error(failure)).unwrap(),
            expected
        );
    }
}
