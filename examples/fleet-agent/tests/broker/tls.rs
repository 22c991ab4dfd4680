//! Broker and agent over TLS.

use std::{net::TcpListener, sync::Arc};

use northstar_tests::{PATIENCE, Site};
use rustls::{AlertDescription, ServerConfig, ServerConnection, crypto::ring};
use serde_json::json;

use crate::{agent_with, authority::Authority, mosquitto::Broker, observer::Observer, packed};

#[test]
fn a_broker_with_tls_is_served_by_whoever_has_a_certificate() {
    let site = Site::new();
    let packages = tempfile::tempdir().unwrap();
    let app = packed(&site, packages.path(), "app", "0.0.1", &["wait"]);
    let daemon = site.start();
    let broker = Broker::with_tls(&Authority::new("fleet"));
    let mut observer = Observer::new(&broker);
    let url = format!("mqtts://localhost:{}", broker.tls.unwrap());
    let file = |name: &str| broker.directory.path().join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let options = [
        "--broker",
        &url,
        "--broker-ca",
        &ca,
        "--broker-cert",
        &cert,
        "--broker-key",
        &key,
    ];
    let _running = agent_with(&site, &daemon, packages.path(), &options);
    observer.expect("online", |online| *online == json!(true));
    observer.desire(1, json!([app("running")]));
    observer.expect_event(&json!({"started": "app:0.0.1"}));
    daemon.stop();
}

/// A broker that has a certificate, but not one of the authority, or not for its name.
#[test]
fn a_false_broker_is_told_nothing() {
    let site = Site::new();
    let packages = tempfile::tempdir().unwrap();
    let daemon = site.start();
    let directory = tempfile::tempdir().unwrap();
    let (true_authority, other) = (Authority::new("fleet"), Authority::new("other"));
    true_authority.write(directory.path());
    let ca = directory.path().join("ca.pem").display().to_string();
    for (authority, host, expected) in [
        (&other, "localhost", AlertDescription::UnknownCA),
        (
            &true_authority,
            "127.0.0.1",
            AlertDescription::BadCertificate,
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (certificate, key) = authority.issue(directory.path(), "broker");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let url = format!("mqtts://{host}:{port}");
        let options = ["--broker", &url, "--broker-ca", &ca];
        let _running = agent_with(&site, &daemon, packages.path(), &options);
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
        let error = loop {
            match connection.complete_io(&mut stream) {
                Ok((0, 0)) => panic!("the agent takes {host} for its broker"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        let error: &rustls::Error = error.get_ref().unwrap().downcast_ref().unwrap();
        assert_eq!(*error, rustls::Error::AlertReceived(expected));
    }
    daemon.stop();
}
