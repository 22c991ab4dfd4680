//! The lines of the extensions, byte for byte, and that nothing of them shows without being asked for.

use std::collections::BTreeMap;

use serde_json::json;

use super::{c, golden, golden_envelope};
use crate::{
    CancelResult, Connect, ConnectAck, ConnectNack, ContainerResult, ContainerStatistics, Envelope,
    Error, Exit, ExitReason, ExitStatus, Extension, Extensions, Filter, Granted, Kind, Limits,
    Message, Notification, ProcessData, Progress, RepositoryDetails, RepositoryIntegrity,
    RepositoryKind, Request, Response, Resume, Unit, codec,
};

fn connect(extensions: Option<Extensions>) -> Message {
    Message::Connect(Connect {
        extensions: extensions.map(Box::new),
        ..Connect::new(true)
    })
}

#[test]
fn nothing_asked_for_is_0_9_2() {
    let line = r#"{"connect":{"version":"0.9.2","subscribe_notifications":true}}"#;
    golden(connect(None), line);
    let null =
        r#"{"connect":{"version":"0.9.2","subscribe_notifications":true,"extensions":null}}"#;
    assert_eq!(codec::decode(null.as_bytes()).unwrap(), connect(None));
}

#[test]
fn what_is_asked_for() {
    golden(
        connect(Some(Extensions::default())),
        r#"{"connect":{"version":"0.9.2","subscribe_notifications":true,"extensions":{}}}"#,
    );
    let all = Extensions {
        filter: Some(Filter {
            containers: vec!["app*".to_owned()],
            kinds: vec![Kind::Started, Kind::Exit, Kind::Mounted],
        }),
        resume: Some(Resume {
            instance: "0a1b".to_owned(),
            sequence: 41,
        }),
        ..Extensions::all()
    };
    golden(
        connect(Some(all)),
        r#"{"connect":{"version":"0.9.2","subscribe_notifications":true,"extensions":{"ids":true,"jobs":true,"sequence":true,"details":true,"filter":{"containers":["app*"],"kinds":["started","exit","mounted"]},"resume":{"instance":"0a1b","sequence":41}}}}"#,
    );
    golden(
        connect(Some(Extensions {
            filter: Some(Filter::default()),
            ..Extensions::default()
        })),
        r#"{"connect":{"version":"0.9.2","subscribe_notifications":true,"extensions":{"filter":{}}}}"#,
    );
}

#[test]
fn kinds_of_notifications() {
    let kinds = [
        (Kind::Started, "started"),
        (Kind::Exit, "exit"),
        (Kind::Install, "install"),
        (Kind::Uninstall, "uninstall"),
        (Kind::CGroup, "c_group"),
        (Kind::Mounted, "mounted"),
        (Kind::Umounted, "umounted"),
        (Kind::Shutdown, "shutdown"),
    ];
    for (kind, name) in kinds {
        assert_eq!(serde_json::to_value(kind).unwrap(), name);
        assert_eq!(serde_json::from_value::<Kind>(name.into()).unwrap(), kind);
    }
    for (kind, alias) in [(Kind::Mounted, "mount"), (Kind::Umounted, "umount")] {
        assert_eq!(serde_json::from_value::<Kind>(alias.into()).unwrap(), kind);
    }
}

#[test]
fn what_is_granted() {
    let limits = Limits {
        max_request_size: 1024,
        max_requests_per_sec: 10,
        max_requests_per_sec_per_peer: Some(50),
        max_pending_requests: 256,
        max_containers: 1024,
        max_npk_install_size: 1 << 20,
        max_installs: 16,
        npk_stream_timeout_ms: 10_000,
        npk_min_rate: 16_384,
        token_validity_ms: 60_000,
        idle_timeout_ms: None,
        stall_timeout_ms: 10_000,
        max_connections: Some(384),
        max_connections_per_peer: Some(256),
        notification_buffer_size: 1024,
    };
    let granted = Granted {
        extensions: vec![
            Extension::Ids,
            Extension::Jobs,
            Extension::Sequence,
            Extension::Details,
            Extension::Filter,
        ],
        instance: "0a1b".to_owned(),
        sequence: 57,
        resumed: true,
        limits,
    };
    golden(
        Message::ConnectAck(ConnectAck(Some(Box::new(granted)))),
        r#"{"connect_ack":{"extensions":["ids","jobs","sequence","details","filter"],"instance":"0a1b","sequence":57,"resumed":true,"limits":{"max_request_size":1024,"max_requests_per_sec":10,"max_requests_per_sec_per_peer":50,"max_pending_requests":256,"max_containers":1024,"max_npk_install_size":1048576,"max_installs":16,"npk_stream_timeout_ms":10000,"npk_min_rate":16384,"token_validity_ms":60000,"idle_timeout_ms":null,"stall_timeout_ms":10000,"max_connections":384,"max_connections_per_peer":256,"notification_buffer_size":1024}}}"#,
    );
    golden(
        Message::ConnectNack(ConnectNack::InvalidExtension {
            extension: "filter".to_owned(),
            cause: "text".to_owned(),
        }),
        r#"{"connect_nack":{"invalid_extension":{"extension":"filter","cause":"text"}}}"#,
    );
}

#[test]
fn ids_and_numbers_stand_beside_the_message() {
    let with_id = |message: Message| Envelope::new(Some(7), message);
    golden_envelope(
        with_id(Request::List.into()),
        r#"{"id":7,"request":"list"}"#,
    );
    golden_envelope(
        with_id(Response::List(vec![c()]).into()),
        r#"{"id":7,"response":{"list":[$C]}}"#,
    );
    golden_envelope(
        with_id(Message::Progress(Progress {
            done: 1,
            total: 10,
            unit: Unit::Containers,
        })),
        r#"{"id":7,"progress":{"done":1,"total":10,"unit":"containers"}}"#,
    );
    golden_envelope(
        with_id(Message::Progress(Progress {
            done: 1,
            total: 2,
            unit: Unit::Bytes,
        })),
        r#"{"id":7,"progress":{"done":1,"total":2,"unit":"bytes"}}"#,
    );
    let numbered = |notification: Notification| Envelope {
        id: None,
        sequence: Some(42),
        message: notification.into(),
    };
    golden_envelope(
        numbered(Notification::Shutdown),
        r#"{"sequence":42,"notification":"shutdown"}"#,
    );
    golden_envelope(
        numbered(Notification::Lagged { missed: 8 }),
        r#"{"sequence":42,"notification":{"lagged":{"missed":8}}}"#,
    );
}

#[test]
fn keys_of_an_envelope_may_come_in_any_order_but_only_once() {
    let swapped = codec::decode_envelope(br#"{"request":"list","id":18446744073709551615}"#);
    let expected = Envelope::new(Some(u64::MAX), Request::List);
    assert_eq!(swapped.unwrap(), expected);
    for line in [
        r#"{"id":1,"id":2,"request":"list"}"#,
        r#"{"request":"list","request":"ident"}"#,
        r#"{"request":"list","response":"shutdown"}"#,
        r#"{"id":1}"#,
        r#"{"id":-1,"request":"list"}"#,
        r#"{"id":1.5,"request":"list"}"#,
        r#"{"id":18446744073709551616,"request":"list"}"#,
        r#"{"id":1,"request":"list","more":1}"#,
        r#"{"sequence":"1","notification":"shutdown"}"#,
    ] {
        let error = codec::decode_envelope(line.as_bytes()).unwrap_err();
        assert!(
            matches!(error, codec::CodecError::Malformed { .. }),
            "{line}"
        );
    }
}

#[test]
fn a_0_9_2_session_has_no_envelope() {
    for line in [
        r#"{"id":7,"request":"list"}"#,
        r#"{"sequence":7,"notification":"shutdown"}"#,
    ] {
        let error = codec::decode(line.as_bytes()).unwrap_err();
        assert!(
            matches!(error, codec::CodecError::Malformed { .. }),
            "{line}"
        );
    }
}

#[test]
fn requests_and_responses() {
    golden(
        Request::Cancel { id: 7 },
        r#"{"request":{"cancel":{"id":7}}}"#,
    );
    golden(
        Request::Statistics { containers: vec![] },
        r#"{"request":{"statistics":{"containers":[]}}}"#,
    );
    assert_eq!(
        codec::decode(br#"{"request":{"statistics":{}}}"#).unwrap(),
        Request::Statistics { containers: vec![] }.into()
    );
    golden(
        Response::Cancel(CancelResult::Ok { id: 7 }),
        r#"{"response":{"cancel":{"ok":{"id":7}}}}"#,
    );
    golden(
        Response::Cancel(CancelResult::Error {
            id: 7,
            error: Error::UnknownId { id: 7 },
        }),
        r#"{"response":{"cancel":{"error":{"id":7,"error":{"unknown_id":{"id":7}}}}}}"#,
    );
    golden(
        Response::Error(Error::DuplicateId { id: 7 }),
        r#"{"response":{"error":{"duplicate_id":{"id":7}}}}"#,
    );
    let stopped = ContainerStatistics {
        container: c(),
        mounted: false,
        starts: 0,
        process: None,
    };
    let running = ContainerStatistics {
        mounted: true,
        starts: 3,
        process: Some(ProcessData {
            pid: 1,
            uptime: 2,
            statistics: BTreeMap::from([
                ("cpu".to_owned(), json!({"usage_us": 3})),
                ("memory".to_owned(), json!({"usage": 4, "peak": 5})),
                ("pids".to_owned(), json!({"current": 6})),
            ]),
            extra: BTreeMap::new(),
        }),
        ..stopped.clone()
    };
    let process = running.process.as_ref().unwrap();
    assert_eq!(process.cpu_usage_us(), Some(3));
    assert_eq!(process.memory_usage(), Some(4));
    assert_eq!(process.memory_peak(), Some(5));
    assert_eq!(process.pids(), Some(6));
    golden(
        Response::Statistics(vec![stopped, running]),
        r#"{"response":{"statistics":[{"container":$C,"mounted":false,"starts":0,"process":null},{"container":$C,"mounted":true,"starts":3,"process":{"pid":1,"uptime":2,"statistics":{"cpu":{"usage_us":3},"memory":{"peak":5,"usage":4},"pids":{"current":6}}}}]}}"#,
    );
}

#[test]
fn repositories_in_detail() {
    golden(
        Request::RepositoryDetails,
        r#"{"request":"repository_details"}"#,
    );
    let details = |name: &str, kind, integrity| RepositoryDetails {
        repository: name.to_owned(),
        kind,
        keyed: integrity != RepositoryIntegrity::None,
        integrity,
    };
    golden(
        Response::RepositoryDetails(vec![
            details("a", RepositoryKind::Fs, RepositoryIntegrity::DmVerity),
            details("b", RepositoryKind::Fs, RepositoryIntegrity::FullRead),
            details("c", RepositoryKind::Mem, RepositoryIntegrity::None),
        ]),
        r#"{"response":{"repository_details":[{"repository":"a","type":"fs","keyed":true,"integrity":"dm-verity"},{"repository":"b","type":"fs","keyed":true,"integrity":"full-read"},{"repository":"c","type":"mem","keyed":false,"integrity":"none"}]}}"#,
    );
}

#[test]
fn notifications() {
    golden(
        Notification::Mounted(c()),
        r#"{"notification":{"mounted":$C}}"#,
    );
    golden(
        Notification::Umounted(c()),
        r#"{"notification":{"umounted":$C}}"#,
    );
    let exit = |status, reason, requested_signal| {
        Notification::Exit(
            c(),
            Exit {
                status,
                reason: Some(reason),
                requested_signal,
            },
        )
    };
    let nine = ExitStatus::Signalled { signal: 9 };
    let zero = ExitStatus::Exit { code: 0 };
    let cases = [
        (
            exit(zero, ExitReason::OwnExit, None),
            r#"{"exit":{"code":0,"reason":"own_exit"}}"#,
        ),
        (
            exit(zero, ExitReason::KilledByRequest, Some(15)),
            r#"{"exit":{"code":0,"reason":"killed_by_request","requested_signal":15}}"#,
        ),
        (
            exit(nine, ExitReason::KilledByRequest, Some(9)),
            r#"{"signalled":{"signal":9,"reason":"killed_by_request","requested_signal":9}}"#,
        ),
        (
            exit(nine, ExitReason::OwnSignal, None),
            r#"{"signalled":{"signal":9,"reason":"own_signal"}}"#,
        ),
        (
            exit(nine, ExitReason::OomKilled, None),
            r#"{"signalled":{"signal":9,"reason":"oom_killed"}}"#,
        ),
        (
            exit(nine, ExitReason::InitDied, None),
            r#"{"signalled":{"signal":9,"reason":"init_died"}}"#,
        ),
        (
            exit(zero, ExitReason::Shutdown, None),
            r#"{"exit":{"code":0,"reason":"shutdown"}}"#,
        ),
    ];
    for (notification, status) in cases {
        golden(
            notification,
            &format!(r#"{{"notification":{{"exit":[$C,{status}]}}}}"#),
        );
    }
}

#[test]
fn errors() {
    let error = || "text".to_owned();
    let repository = || "default".to_owned();
    let cases = [
        (Error::ShuttingDown {}, r#"{"shutting_down":{}}"#),
        (Error::Cancelled {}, r#"{"cancelled":{}}"#),
        (
            Error::MountFailed {
                container: c(),
                error: error(),
            },
            r#"{"mount_failed":{"container":$C,"error":"text"}}"#,
        ),
        (
            Error::UmountFailed {
                container: c(),
                error: error(),
            },
            r#"{"umount_failed":{"container":$C,"error":"text"}}"#,
        ),
        (
            Error::PackageRefused {
                repository: repository(),
                error: error(),
            },
            r#"{"package_refused":{"repository":"default","error":"text"}}"#,
        ),
        (
            Error::RepositoryFull {
                repository: repository(),
                error: error(),
            },
            r#"{"repository_full":{"repository":"default","error":"text"}}"#,
        ),
        (
            Error::InstallTooLarge { size: 2, limit: 1 },
            r#"{"install_too_large":{"size":2,"limit":1}}"#,
        ),
        (
            Error::TooManyInstalls { limit: 1 },
            r#"{"too_many_installs":{"limit":1}}"#,
        ),
        (
            Error::InstallFailed {
                repository: repository(),
                error: error(),
            },
            r#"{"install_failed":{"repository":"default","error":"text"}}"#,
        ),
        (
            Error::UninstallFailed {
                container: c(),
                error: error(),
            },
            r#"{"uninstall_failed":{"container":$C,"error":"text"}}"#,
        ),
        (
            Error::WipeFailed {
                container: c(),
                error: error(),
            },
            r#"{"wipe_failed":{"container":$C,"error":"text"}}"#,
        ),
        (
            Error::InvalidSignal { signal: 99 },
            r#"{"invalid_signal":{"signal":99}}"#,
        ),
        (
            Error::KillFailed {
                container: c(),
                signal: 15,
                error: error(),
            },
            r#"{"kill_failed":{"container":$C,"signal":15,"error":"text"}}"#,
        ),
        (
            Error::TooManyContainers {
                count: 2000,
                limit: 1024,
            },
            r#"{"too_many_containers":{"count":2000,"limit":1024}}"#,
        ),
        (
            Error::StartContainerFailed {
                container: c(),
                error: error(),
                step: Some("execve".to_owned()),
                errno: Some(2),
            },
            r#"{"start_container_failed":{"container":$C,"error":"text","step":"execve","errno":2}}"#,
        ),
    ];
    for (error, json) in cases {
        golden(
            Response::Start(ContainerResult::Error {
                container: c(),
                error,
            }),
            &format!(r#"{{"response":{{"start":{{"error":{{"container":$C,"error":{json}}}}}}}}}"#),
        );
    }
}
