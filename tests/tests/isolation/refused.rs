//! What cannot be given stops the start, unless the operator says otherwise.

use northstar_tests::{Package, Site};

use crate::{run_on, start_failure};

#[test]
fn missing_bind_source_stops_the_start() {
    let site = Site::new();
    site.pack(
        &Package::app("app", &["exit", "0"]).mount("/x", "{type: bind, host: /no/such/source}"),
    );
    let daemon = site.start();
    assert!(start_failure(&daemon, "app:0.0.1").contains("/no/such/source"));
    daemon.stop();
}

#[test]
fn missing_bind_source_is_skipped_on_request() {
    let site = Site::new().repository_option("missing = \"skip\"");
    site.pack(
        &Package::app("app", &["exit", "0"]).mount("/x", "{type: bind, host: /no/such/source}"),
    );
    let daemon = site.start();
    run_on(&daemon, "app:0.0.1");
    daemon.stop();
}

#[test]
fn unknown_group_stops_the_start() {
    let site = Site::new();
    site.pack(&Package::app("app", &["exit", "0"]).field("suppl_groups: [no-such-group]"));
    let daemon = site.start();
    assert!(start_failure(&daemon, "app:0.0.1").contains("no-such-group"));
    daemon.stop();
}

#[test]
fn missing_network_namespace_stops_the_start() {
    let site = Site::new();
    site.pack(&Package::app("app", &["exit", "0"]).field("network: !namespace no-such-namespace"));
    let daemon = site.start();
    assert!(start_failure(&daemon, "app:0.0.1").contains("no-such-namespace"));
    daemon.stop();
}

#[test]
fn writable_resource_stops_the_start() {
    let site = Site::new();
    site.pack(&Package::resource("message", "0.0.1", "text", "hello"));
    site.pack(&Package::app("app", &["cat", "/res/text"]).mount(
        "/res",
        "{type: resource, name: message, version: '*', dir: /, options: rw}",
    ));
    let daemon = site.start();
    assert!(start_failure(&daemon, "app:0.0.1").contains("/res"));
    daemon.stop();
}
