//! The examples of northstar-client against a real daemon. Needs root and loop devices.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "test code")]

#[path = "../../../northstar-client/examples/follow.rs"]
mod follow;
#[path = "../../../northstar-client/examples/install_and_run.rs"]
mod install_and_run;

use northstar_client::{
    Endpoint, Happening,
    api::{Container, ExitReason, ExitStatus, Notification},
};
use northstar_tests::{Package, Site};

#[test]
fn a_package_is_installed_and_run_and_somebody_follows() {
    let site = Site::new();
    let outside = tempfile::tempdir().unwrap();
    let package = Package::app("app", &["exit", "7"]).pack(outside.path(), Some(&site.key()));
    let daemon = site.start();
    let endpoint: Endpoint = daemon.url().parse().unwrap();
    let app: Container = "app:0.0.1".parse().unwrap();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let limit = northstar_tests::PATIENCE;
    let events = runtime.block_on(async {
        let mut link = follow::connect(endpoint.clone());
        // Nothing must happen before it has subscribed.
        let connected = tokio::time::timeout(limit, link.next()).await.unwrap();
        assert!(
            matches!(connected, Some(Happening::Connected(_))),
            "{connected:?}"
        );
        let follower = tokio::spawn(async move { follow::follow(&mut link, 4).await });
        let run = install_and_run::install_and_run(&endpoint, "default", &package);
        let exit = tokio::time::timeout(limit, run).await.unwrap().unwrap();
        assert_eq!(exit.status, ExitStatus::Exit { code: 7 });
        assert_eq!(exit.reason, Some(ExitReason::OwnExit));
        tokio::time::timeout(limit, follower)
            .await
            .unwrap()
            .unwrap()
    });
    assert!(events.contains(&Notification::Install(app.clone())));
    assert!(events.contains(&Notification::Started(app.clone())));
    assert!(matches!(events.last(), Some(Notification::Exit(ended, _)) if *ended == app));
    daemon.stop();
}
