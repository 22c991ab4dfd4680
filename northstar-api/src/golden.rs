//! Every line of the protocol, byte for byte.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    CGroupNotification, Connect, ConnectAck, ConnectNack, Container, ContainerResult, Envelope,
    Error, ExitStatus, InspectData, InspectResult, InstallResult, Manifest, MemoryNotification,
    Message, Notification, ProcessData, Request, Response, Token, VERSION, VerificationResult,
    codec,
};

mod extensions;
mod schema;

const C: &str = "hello-world:0.0.1";

fn c() -> Container {
    C.parse().unwrap()
}

/// `line` is what is written, and reads back as the same message.
fn golden(message: impl Into<Message>, line: &str) {
    let message = message.into();
    let line = line.replace("$C", "\"hello-world:0.0.1\"");
    // A session with extensions reads and writes the same line where no id or number is concerned.
    golden_envelope(message.clone(), &line);
    let mut written = bytes::BytesMut::new();
    codec::encode(&message, &mut written).unwrap();
    assert_eq!(std::str::from_utf8(&written).unwrap(), format!("{line}\n"));
    assert_eq!(codec::decode(line.as_bytes()).unwrap(), message, "{line}");
}

/// As [`golden`], with what the extensions add.
pub(crate) fn golden_envelope(envelope: impl Into<Envelope>, line: &str) {
    let envelope = envelope.into();
    let line = line.replace("$C", "\"hello-world:0.0.1\"");
    let mut written = bytes::BytesMut::new();
    codec::encode_envelope(&envelope, &mut written).unwrap();
    assert_eq!(std::str::from_utf8(&written).unwrap(), format!("{line}\n"));
    schema::assert_valid(&line);
    assert_eq!(
        codec::decode_envelope(line.as_bytes()).unwrap(),
        envelope,
        "{line}"
    );
}

#[test]
fn handshake() {
    golden(
        Message::Connect(Connect::new(true)),
        r#"{"connect":{"version":"0.9.2","subscribe_notifications":true}}"#,
    );
    golden(
        Message::ConnectAck(ConnectAck::default()),
        r#"{"connect_ack":null}"#,
    );
    golden(
        Message::ConnectNack(ConnectNack::InvalidProtocolVersion { version: VERSION }),
        r#"{"connect_nack":{"invalid_protocol_version":{"version":"0.9.2"}}}"#,
    );
    golden(
        Message::ConnectNack(ConnectNack::PermissionDenied),
        r#"{"connect_nack":"permission_denied"}"#,
    );
}

#[test]
fn a_connect_may_carry_more_than_we_know() {
    let line =
        br#"{"connect":{"version":"0.9.7","subscribe_notifications":false,"extensions":{"x":1}}}"#;
    let Message::Connect(connect) = codec::decode(line).unwrap() else {
        panic!("no connect")
    };
    assert_eq!(connect.version.to_string(), "0.9.7");
}

#[test]
fn requests() {
    let start = Request::Start {
        container: c(),
        init: None,
        arguments: vec![],
        environment: BTreeMap::new(),
    };
    let command = Request::Start {
        container: c(),
        init: Some("<INIT>".to_owned()),
        arguments: vec!["-v".to_owned()],
        environment: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
    };
    let cases = [
        (Request::Ident, r#""ident""#),
        (Request::List, r#""list""#),
        (Request::Repositories, r#""repositories""#),
        (Request::Shutdown, r#""shutdown""#),
        (
            Request::Inspect { container: c() },
            r#"{"inspect":{"container":$C}}"#,
        ),
        (
            Request::Mount {
                containers: vec![c()],
            },
            r#"{"mount":{"containers":[$C]}}"#,
        ),
        (
            Request::Umount {
                containers: vec![c(), c()],
            },
            r#"{"umount":{"containers":[$C,$C]}}"#,
        ),
        (
            start,
            r#"{"start":{"container":$C,"init":null,"arguments":[],"environment":{}}}"#,
        ),
        (
            command,
            r#"{"start":{"container":$C,"init":"<INIT>","arguments":["-v"],"environment":{"A":"b"}}}"#,
        ),
        (
            Request::Kill {
                container: c(),
                signal: 15,
            },
            r#"{"kill":{"container":$C,"signal":15}}"#,
        ),
        (
            Request::Install {
                repository: "default".to_owned(),
                size: 5_000_000_000,
            },
            r#"{"install":{"repository":"default","size":5000000000}}"#,
        ),
        (
            Request::Uninstall {
                container: c(),
                wipe: false,
            },
            r#"{"uninstall":{"container":$C,"wipe":false}}"#,
        ),
        (
            Request::TokenCreate {
                target: "name".parse().unwrap(),
                shared: b"shared".to_vec(),
            },
            r#"{"token_create":{"target":"name","shared":"c2hhcmVk"}}"#,
        ),
        (
            Request::TokenVerify {
                token: Token::from([0xff; 40]),
                user: "name".parse().unwrap(),
                shared: vec![],
            },
            &format!(
                r#"{{"token_verify":{{"token":"{}/w==","user":"name","shared":""}}}}"#,
                "/".repeat(52)
            ),
        ),
    ];
    for (request, json) in cases {
        golden(request.clone(), &format!(r#"{{"request":{json}}}"#));
        // Whatever is refused comes back as it was sent.
        golden(
            Response::PermissionDenied(request),
            &format!(r#"{{"response":{{"permission_denied":{json}}}}}"#),
        );
    }
}

#[test]
fn start_without_its_optional_fields() {
    let bare = format!(r#"{{"request":{{"start":{{"container":"{C}"}}}}}}"#);
    let expected = Request::Start {
        container: c(),
        init: None,
        arguments: vec![],
        environment: BTreeMap::new(),
    };
    assert_eq!(
        codec::decode(bare.as_bytes()).unwrap(),
        Message::Request(expected)
    );
}

#[test]
fn responses() {
    let ok = || ContainerResult::Ok { container: c() };
    let cases = [
        (
            Response::Ident("extern:0.0.0".parse().unwrap()),
            r#"{"ident":"extern:0.0.0"}"#,
        ),
        (Response::List(vec![c()]), r#"{"list":[$C]}"#),
        (
            Response::Repositories(vec!["default".to_owned(), "memory".to_owned()]),
            r#"{"repositories":["default","memory"]}"#,
        ),
        (
            Response::Mount(vec![
                ok(),
                ContainerResult::Error {
                    container: c(),
                    error: Error::MountBusy { container: c() },
                },
            ]),
            r#"{"mount":[{"ok":{"container":$C}},{"error":{"container":$C,"error":{"mount_busy":{"container":$C}}}}]}"#,
        ),
        (
            Response::Umount(vec![ok()]),
            r#"{"umount":[{"ok":{"container":$C}}]}"#,
        ),
        (
            Response::Start(ok()),
            r#"{"start":{"ok":{"container":$C}}}"#,
        ),
        (Response::Kill(ok()), r#"{"kill":{"ok":{"container":$C}}}"#),
        (
            Response::Uninstall(ok()),
            r#"{"uninstall":{"ok":{"container":$C}}}"#,
        ),
        (
            Response::Install(InstallResult::Ok { container: c() }),
            r#"{"install":{"ok":{"container":$C}}}"#,
        ),
        (
            Response::Install(InstallResult::Error {
                error: Error::InstallDuplicate { container: c() },
            }),
            r#"{"install":{"error":{"error":{"install_duplicate":{"container":$C}}}}}"#,
        ),
        (
            Response::Inspect(InspectResult::Error {
                container: c(),
                error: Error::InvalidContainer { container: c() },
            }),
            r#"{"inspect":{"error":{"container":$C,"error":{"invalid_container":{"container":$C}}}}}"#,
        ),
        (
            Response::Token(Token::from([0; 40])),
            &format!(r#"{{"token":"{}=="}}"#, "A".repeat(54)),
        ),
        (
            Response::TokenVerification(VerificationResult::Ok),
            r#"{"token_verification":"Ok"}"#,
        ),
        (
            Response::TokenVerification(VerificationResult::Invalid),
            r#"{"token_verification":"Invalid"}"#,
        ),
        (
            Response::TokenVerification(VerificationResult::Expired),
            r#"{"token_verification":"Expired"}"#,
        ),
        (
            Response::TokenVerification(VerificationResult::Future),
            r#"{"token_verification":"Future"}"#,
        ),
        (Response::Shutdown, r#""shutdown""#),
    ];
    for (response, json) in cases {
        golden(response, &format!(r#"{{"response":{json}}}"#));
    }
}

#[test]
fn inspect_of_a_stopped_and_of_a_running_container() {
    let manifest = Manifest::from_yaml(b"name: hello-world\nversion: 0.0.1\nuid: 1\ngid: 2\n");
    let mut data = InspectData {
        manifest: manifest.unwrap(),
        repository: "default".to_owned(),
        mounted: false,
        process: None,
        extra: BTreeMap::new(),
    };
    let response = |data: &InspectData| {
        Response::Inspect(InspectResult::Ok {
            container: c(),
            data: Box::new(data.clone()),
        })
    };
    let manifest = r#"{"name":"hello-world","version":"0.0.1","uid":1,"gid":2}"#;
    golden(
        response(&data),
        &format!(
            r#"{{"response":{{"inspect":{{"ok":{{"container":$C,"data":{{"manifest":{manifest},"repository":"default","mounted":false,"process":null}}}}}}}}}}"#
        ),
    );
    data.mounted = true;
    data.process = Some(ProcessData {
        pid: 1,
        uptime: 2_000_000_000,
        statistics: BTreeMap::from([("memory".to_owned(), json!({"usage": 1}))]),
        extra: BTreeMap::new(),
    });
    data.extra
        .insert("integrity".to_owned(), json!("full-read"));
    golden(
        response(&data),
        &format!(
            r#"{{"response":{{"inspect":{{"ok":{{"container":$C,"data":{{"manifest":{manifest},"repository":"default","mounted":true,"process":{{"pid":1,"uptime":2000000000,"statistics":{{"memory":{{"usage":1}}}}}},"integrity":"full-read"}}}}}}}}}}"#
        ),
    );
}

#[test]
fn errors() {
    let text = || "text".to_owned();
    let cases = [
        (
            Error::Configuration { context: text() },
            r#"{"configuration":{"context":"text"}}"#,
        ),
        (
            Error::DuplicateContainer { container: c() },
            r#"{"duplicate_container":{"container":$C}}"#,
        ),
        (
            Error::InvalidContainer { container: c() },
            r#"{"invalid_container":{"container":$C}}"#,
        ),
        (
            Error::InvalidArguments { cause: text() },
            r#"{"invalid_arguments":{"cause":"text"}}"#,
        ),
        (
            Error::MountBusy { container: c() },
            r#"{"mount_busy":{"container":$C}}"#,
        ),
        (
            Error::UmountBusy { container: c() },
            r#"{"umount_busy":{"container":$C}}"#,
        ),
        (
            Error::StartContainerStarted { container: c() },
            r#"{"start_container_started":{"container":$C}}"#,
        ),
        (
            Error::StartContainerResource { container: c() },
            r#"{"start_container_resource":{"container":$C}}"#,
        ),
        (
            Error::StartContainerMissingResource {
                container: c(),
                resource: "res".parse().unwrap(),
                version: ">=1".to_owned(),
            },
            r#"{"start_container_missing_resource":{"container":$C,"resource":"res","version":">=1"}}"#,
        ),
        (
            Error::StartContainerFailed {
                container: c(),
                error: text(),
                step: None,
                errno: None,
            },
            r#"{"start_container_failed":{"container":$C,"error":"text"}}"#,
        ),
        (
            Error::StopContainerNotStarted { container: c() },
            r#"{"stop_container_not_started":{"container":$C}}"#,
        ),
        (
            Error::InvalidRepository { repository: text() },
            r#"{"invalid_repository":{"repository":"text"}}"#,
        ),
        (
            Error::InstallDuplicate { container: c() },
            r#"{"install_duplicate":{"container":$C}}"#,
        ),
        (
            Error::CriticalContainer {
                container: c(),
                status: ExitStatus::Exit { code: 1 },
            },
            r#"{"critical_container":{"container":$C,"status":{"exit":{"code":1}}}}"#,
        ),
        (
            Error::Unexpected { error: text() },
            r#"{"unexpected":{"error":"text"}}"#,
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

#[test]
fn notifications() {
    let memory = MemoryNotification {
        oom: Some(1),
        oom_kill: Some(1),
        ..Default::default()
    };
    let cases = [
        (Notification::Started(c()), r#"{"started":$C}"#),
        (
            Notification::Exit(c(), ExitStatus::Exit { code: 0 }.into()),
            r#"{"exit":[$C,{"exit":{"code":0}}]}"#,
        ),
        (
            Notification::Exit(c(), ExitStatus::Signalled { signal: 9 }.into()),
            r#"{"exit":[$C,{"signalled":{"signal":9}}]}"#,
        ),
        (Notification::Install(c()), r#"{"install":$C}"#),
        (Notification::Uninstall(c()), r#"{"uninstall":$C}"#),
        (
            Notification::CGroup(c(), CGroupNotification::Memory(memory)),
            r#"{"c_group":[$C,{"memory":{"low":null,"high":null,"max":null,"oom":1,"oom_kill":1}}]}"#,
        ),
        (Notification::Shutdown, r#""shutdown""#),
    ];
    for (notification, json) in cases {
        golden(notification, &format!(r#"{{"notification":{json}}}"#));
    }
}
