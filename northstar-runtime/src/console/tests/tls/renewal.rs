//! Certificates, authorities and revocations that change while the daemon runs.

use super::{
    authority::{Authority, Names},
    site::{Site, cut, write},
};
use crate::console::tests::Client;
use rustls::AlertDescription;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

#[tokio::test]
async fn a_renewed_certificate_is_in_force_with_the_next_connection() {
    let site = Site::start().await;
    let fleet = site.clients.issue(Names::common("fleet"));
    let shown = |client: &Client<TlsStream<TcpStream>>| {
        let (_, connection) = client.stream.get_ref().get_ref();
        connection.peer_certificates().unwrap()[0].clone()
    };
    let mut before = site.client(&fleet).await.connect().await;
    let renewed = site.server.issue(Names::server());
    renewed.write(&site.path("cert"), &site.path("key"));
    let after = site.client(&fleet).await.connect().await;
    assert_ne!(shown(&before), shown(&after));
    assert_eq!(shown(&after), renewed.chain()[0]);
    // Nothing about the clients has changed: who is there stays.
    before.works().await;

    // Half a renewal, or a bad one, changes nothing.
    write(&site.path("cert"), "half a certificate");
    let bad = site.client(&fleet).await.connect().await;
    assert_eq!(shown(&bad), renewed.chain()[0]);
    before.works().await;
    site.stop().await;
}

#[tokio::test]
async fn a_revoked_certificate_loses_its_connections_and_gets_no_new_one() {
    let site = Site::start().await;
    let fleet = site.clients.issue(Names::common("fleet").serial(7));
    let viewer = site
        .clients
        .issue(Names::dns("viewer.example.org").serial(8));
    let mut revoked = site.client(&fleet).await.connect().await;
    revoked.works().await;

    write(&site.path("client_crl"), &site.clients.revocations(&[7]));
    // The next one that connects makes the daemon look.
    let mut other = site.client(&viewer).await.connect().await;
    other.ask(r#""list""#).await;
    cut(revoked).await;
    assert_eq!(
        site.alert(site.config(Some(&fleet))).await,
        AlertDescription::CertificateRevoked
    );
    other.ask(r#""list""#).await;
    site.stop().await;
}

#[tokio::test]
async fn an_authority_that_is_no_longer_trusted_takes_its_clients_along() {
    let site = Site::start().await;
    let fleet = site.clients.issue(Names::common("fleet"));
    let mut before = site.client(&fleet).await.connect().await;
    before.works().await;
    let next = Authority::new("next");
    write(&site.path("client_ca"), &next.pem());
    write(&site.path("client_crl"), &next.revocations(&[]));
    assert_eq!(
        site.alert(site.config(Some(&fleet))).await,
        AlertDescription::UnknownCA
    );
    cut(before).await;
    let fleet = next.issue(Names::common("fleet"));
    site.client(&fleet).await.connect().await.works().await;
    site.stop().await;
}
