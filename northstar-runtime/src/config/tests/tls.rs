//! Consoles over TLS.

use super::*;

#[test]
fn a_tls_console_has_files_and_subjects_with_permissions() {
    let peers = r#", client_crl = "r", peers = [
        { subject = "fleet", permissions = "full" },
        { subject = "DNS:viewer.example.org", permissions = ["list"] },
    ]"#;
    let config = parse(&tls_console(&peers.replace('\n', "")));
    let peer = |subject: &str, permissions| SubjectPeer {
        subject: subject.parse().unwrap(),
        permissions,
    };
    let list = [Permission::List].into_iter().collect();
    let expected = Tls {
        host: "0.0.0.0".to_owned(),
        port: 4200,
        cert: "c".into(),
        key: "k".into(),
        client_ca: "a".into(),
        client_crl: Some("r".into()),
        peers: vec![
            peer("fleet", Permissions::full()),
            peer("DNS:viewer.example.org", list),
        ],
    };
    assert_eq!(console(&config).address, Address::Tls(Box::new(expected)));
    // Without a subject that is known nobody may do anything.
    assert!(console(&config).permissions.is_empty());
}

#[test]
fn a_tls_console_without_one_of_its_keys_is_refused() {
    let peers = r#", peers = [{ subject = "fleet", permissions = "full" }]"#;
    let complete = tls_console(peers);
    parse(&complete);
    for (key, part) in [
        ("cert", r#", cert = "c""#),
        ("key", r#", key = "k""#),
        ("client_ca", r#", client_ca = "a""#),
    ] {
        let expected = (format!("console[0].{key}"), ValueError::TlsFile);
        assert_eq!(refused(&complete.replace(part, "")), expected);
    }
    for nobody in ["", ", peers = []"] {
        let expected = ("console[0].peers".to_owned(), ValueError::NoSubjects);
        assert_eq!(refused(&tls_console(nobody)), expected);
    }
    let url = "tls://x".to_owned();
    assert_eq!(
        refused(&complete.replace("tls://0.0.0.0:4200", "tls://x")),
        ("console[0].url".to_owned(), ValueError::HostPort { url })
    );
}

#[test]
fn peers_of_a_tls_console_are_named_by_their_subjects() {
    let peers = |peers: &str| tls_console(&format!(", peers = [{peers}]"));
    let fleet = r#"{ subject = "fleet", permissions = "full" }"#;
    let subject = |index| format!("console[0].peers[{index}].subject");
    assert_eq!(
        refused(&peers(r#"{ permissions = "full" }"#)),
        (subject(0), ValueError::PeerWithoutId)
    );
    let scheme = "unix://";
    assert_eq!(
        refused(&peers(
            r#"{ subject = "a", uid = 0, permissions = "full" }"#
        )),
        (
            "console[0].peers[0].uid".to_owned(),
            ValueError::OtherScheme { scheme }
        )
    );
    let of = subject(0);
    assert_eq!(
        refused(&peers(&format!("{fleet}, {fleet}"))),
        (subject(1), ValueError::Duplicate { of })
    );
    let (key, error) = refused(&peers(r#"{ subject = "DNS:", permissions = "full" }"#));
    assert!(matches!(error, ValueError::Subject(_)), "{error:?}");
    assert_eq!(key, subject(0));
    // A subject means nothing where there are no certificates.
    let scheme = "tls://";
    assert_eq!(
        refused(&minimal(&format!(
            r#"console = [{{ url = "unix:///s", peers = [{fleet}] }}]"#
        ))),
        (subject(0), ValueError::OtherScheme { scheme })
    );
    // Nor does a permission that needs no subject.
    let scheme = "tcp:// and unix://";
    assert_eq!(
        refused(&tls_console(&format!(
            r#", permissions = "full", peers = [{fleet}]"#
        ))),
        (
            "console[0].permissions".to_owned(),
            ValueError::OtherScheme { scheme }
        )
    );
}
