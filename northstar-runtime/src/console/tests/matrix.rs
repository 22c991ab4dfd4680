//! Every request with every permission over every transport.

use super::*;
use northstar_manifest::Permission;

/// Requests and what each needs.
const REQUESTS: &[(&str, Permission)] = &[
    (r#""ident""#, Permission::Ident),
    (r#""list""#, Permission::List),
    (r#""repositories""#, Permission::Repositories),
    (
        r#"{"inspect":{"container":"app:1.0.0"}}"#,
        Permission::Inspect,
    ),
    (
        r#"{"mount":{"containers":["app:1.0.0"]}}"#,
        Permission::Mount,
    ),
    (
        r#"{"umount":{"containers":["app:1.0.0"]}}"#,
        Permission::Umount,
    ),
    (
        r#"{"start":{"container":"app:1.0.0","init":null,"arguments":[],"environment":{}}}"#,
        Permission::Start,
    ),
    (
        r#"{"start":{"container":"app:1.0.0","init":"/x","arguments":[],"environment":{}}}"#,
        Permission::StartCommand,
    ),
    (
        r#"{"start":{"container":"app:1.0.0","init":null,"arguments":["x"],"environment":{}}}"#,
        Permission::StartCommand,
    ),
    (
        r#"{"start":{"container":"app:1.0.0","init":null,"arguments":[],"environment":{"K":"V"}}}"#,
        Permission::StartCommand,
    ),
    (
        r#"{"kill":{"container":"app:1.0.0","signal":9}}"#,
        Permission::Kill,
    ),
    (
        r#"{"install":{"repository":"default","size":26}}"#,
        Permission::Install,
    ),
    (
        r#"{"uninstall":{"container":"app:1.0.0","wipe":true}}"#,
        Permission::Uninstall,
    ),
    (
        r#"{"token_create":{"target":"extern","shared":"eA=="}}"#,
        Permission::TokenCreate,
    ),
    (
        r#"{"token_verify":{"token":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==","user":"extern","shared":"eA=="}}"#,
        Permission::TokenVerification,
    ),
    (r#""shutdown""#, Permission::Shutdown),
];

/// What follows an install: it looks like a request, and must never be one.
const PACKAGE: &[u8] = b"\n{\"request\":\"shutdown\"}\nx\n";

const _: () = assert!(PACKAGE.len() == 26);

async fn check<S: AsyncRead + AsyncWrite + Unpin>(
    server: &Server,
    client: Client<S>,
    permissions: &Permissions,
) {
    let mut client = client.connect().await;
    for (line, permission) in REQUESTS {
        server.record.lock().unwrap().asked.clear();
        client.send(&request(line)).await;
        if line.contains("install\":{\"repository") {
            client.raw(PACKAGE).await;
        }
        let response = client.next().await.unwrap()["response"].take();
        let denied = json(&format!("{{\"permission_denied\":{line}}}"));
        if permissions.contains(*permission) {
            assert!(
                response.get("permission_denied").is_none(),
                "{line} {permissions}"
            );
        } else {
            assert_eq!(response, denied, "{line} {permissions}");
            assert_eq!(server.asked(), Vec::<String>::new(), "{line} {permissions}");
        }
    }
    // A list never ends in a question to the supervisor that nobody may ask.
    if !permissions.contains(Permission::Shutdown) {
        assert!(!server.asked().contains(&"shutdown".to_owned()));
    }
}

async fn subscribes<S: AsyncRead + AsyncWrite + Unpin>(mut client: Client<S>, allowed: bool) {
    client.send(SUBSCRIBE).await;
    if allowed {
        client.expect(r#"{"connect_ack":null}"#).await;
    } else {
        client
            .expect(r#"{"connect_nack":"permission_denied"}"#)
            .await;
        client.closed().await;
    }
}

#[tokio::test]
async fn every_request_needs_its_own_permission_and_no_other() {
    let single = |permission: &Permission| [*permission].into_iter().collect::<Permissions>();
    let mut sets: Vec<Permissions> = Permission::ALL.iter().map(single).collect();
    sets.extend([Permissions::none(), Permissions::full()]);
    for permissions in sets {
        let setup = Setup {
            permissions: permissions.clone(),
            ..Setup::default()
        };
        let options = setup.options.clone();
        let server = setup.start().await;
        check(&server, server.tcp().await, &permissions).await;
        check(&server, server.unix().await, &permissions).await;
        let container = || server.container("me:1.0.0", permissions.clone(), options.clone());
        check(&server, container(), &permissions).await;

        let allowed = permissions.contains(Permission::Notifications);
        subscribes(server.tcp().await, allowed).await;
        subscribes(server.unix().await, allowed).await;
        subscribes(container(), allowed).await;
        server.stop().await;
    }
}
