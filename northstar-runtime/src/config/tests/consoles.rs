//! Addresses of consoles, and who may do what there.

use super::*;

#[test]
fn a_peer_may_send_what_five_connections_may() {
    let entry = |options: &str| {
        let entry = format!(r#"console = [{{ url = "unix:///s", options = {{ {options} }} }}]"#);
        let config = parse(&minimal(&entry));
        console(&config).limits.max_requests_per_sec_per_peer.get()
    };
    assert_eq!(entry(""), 5000);
    assert_eq!(
        entry(""),
        ListenerOptions::default()
            .max_requests_per_sec_per_peer
            .get()
    );
    assert_eq!(entry("max_requests_per_sec = 10"), 50);
    assert_eq!(entry("max_requests_per_sec = 1000000000"), 1_000_000_000);
}

#[test]
fn the_console_tables_of_0_9_2_load() {
    let text = minimal("")
        + r#"
        [console.global]
        bind = "tcp://127.0.0.1:4200"
        permissions = "full"
        [console.options]
        max_request_size = "1KiB"
        token_validity = "5s"
        "#;
    let config = parse(&text);
    let listener = console(&config);
    let address = Address::Tcp {
        host: "127.0.0.1".to_owned(),
        port: 4200,
    };
    assert_eq!(listener.address, address);
    assert!(listener.permissions.is_full());
    for options in [&listener.options, &config.container_console_options] {
        assert_eq!(options.max_request_size, 1024);
        assert_eq!(options.token_validity, Duration::from_secs(5));
    }

    let own = text.replace("[console.options]", "[console.global.options]");
    let config = parse(&own);
    assert_eq!(console(&config).options.max_request_size, 1024);
    assert_eq!(
        config.container_console_options,
        ConnectionOptions::for_containers()
    );
}

#[test]
fn console_urls_are_taken_apart() {
    let tcp = |host: &str, port| Address::Tcp {
        host: host.to_owned(),
        port,
    };
    let table = [
        ("tcp://localhost:4200", tcp("localhost", 4200)),
        ("tcp://127.0.0.1:1/", tcp("127.0.0.1", 1)),
        ("tcp://127.9.9.9:65535", tcp("127.9.9.9", 65535)),
        ("tcp://[::1]:0", tcp("::1", 0)),
        ("tcp://[::ffff:127.0.0.1]:1", tcp("::ffff:127.0.0.1", 1)),
        // A name is judged when it is resolved.
        ("tcp://ip6-localhost:4200", tcp("ip6-localhost", 4200)),
        (
            "unix:///run/a b%20c?d#e",
            Address::Unix {
                path: "/run/a b%20c?d#e".into(),
                mode: 0o600,
            },
        ),
    ];
    for (url, address) in table {
        let config = parse(&minimal(&format!("console = [{url:?}]")));
        let listener = console(&config);
        assert_eq!(listener.address, address, "{url}");
        assert!(listener.permissions.is_full(), "{url}");
    }
}

#[test]
fn console_urls_that_cannot_be_served_are_refused() {
    let url = |url: &str| url.to_owned();
    let scheme = |u: &str| ValueError::Scheme { url: url(u) };
    let host_port = |u: &str| ValueError::HostPort { url: url(u) };
    let socket = |u: &str| ValueError::SocketPath { url: url(u) };
    let network = |host: &str| ValueError::NotLoopback {
        host: host.to_owned(),
    };
    let long = format!("unix:///{}", "x".repeat(107));
    let table = [
        ("", scheme("")),
        ("localhost:4200", scheme("localhost:4200")),
        ("http://localhost:4200", scheme("http://localhost:4200")),
        ("TCP://localhost:4200", scheme("TCP://localhost:4200")),
        ("tcp://localhost", host_port("tcp://localhost")),
        ("tcp://:4200", host_port("tcp://:4200")),
        ("tcp://localhost:", host_port("tcp://localhost:")),
        ("tcp://localhost:65536", host_port("tcp://localhost:65536")),
        ("tcp://localhost:+1", host_port("tcp://localhost:+1")),
        ("tcp://a b:1", host_port("tcp://a b:1")),
        (
            "tcp://user@localhost:1",
            host_port("tcp://user@localhost:1"),
        ),
        (
            "tcp://localhost:1/path",
            host_port("tcp://localhost:1/path"),
        ),
        ("tcp://::1:4200", host_port("tcp://::1:4200")),
        (
            "tcp://[localhost]:4200",
            host_port("tcp://[localhost]:4200"),
        ),
        ("tcp://0.0.0.0:4200", network("0.0.0.0")),
        ("tcp://192.168.1.1:4200", network("192.168.1.1")),
        ("tcp://[::]:4200", network("::")),
        ("tcp://[::ffff:10.0.0.1]:4200", network("::ffff:10.0.0.1")),
        ("unix://run/sock", socket("unix://run/sock")),
        ("unix://", socket("unix://")),
        ("unix:///", socket("unix:///")),
        ("unix:///run/", socket("unix:///run/")),
        (
            &long,
            ValueError::SocketPathLength {
                url: url(&long),
                bytes: 108,
                max: 107,
            },
        ),
    ];
    for (url, error) in table {
        let text = minimal(&format!("console = [{url:?}]"));
        assert_eq!(
            refused(&text),
            ("console[0].url".to_owned(), error),
            "{url}"
        );
    }
    let nul = minimal("console = [\"unix:///a\\u0000b\"]");
    let error = socket("unix:///a\0b");
    assert_eq!(refused(&nul), ("console[0].url".to_owned(), error));
}

#[test]
fn keys_that_mean_nothing_for_a_scheme_are_refused() {
    let table = [
        (
            r#"url = "tcp://localhost:1", mode = "0600""#,
            "mode",
            "unix://",
        ),
        (
            r#"url = "tcp://localhost:1", peers = []"#,
            "peers",
            "unix:// and tls://",
        ),
        (r#"url = "tcp://localhost:1", cert = "c""#, "cert", "tls://"),
        (r#"url = "unix:///s", key = "k""#, "key", "tls://"),
        (
            r#"url = "unix:///s", client_ca = "k""#,
            "client_ca",
            "tls://",
        ),
    ];
    for (entry, key, scheme) in table {
        let text = minimal(&format!("console = [{{ {entry} }}]"));
        let expected = (
            format!("console[0].{key}"),
            ValueError::OtherScheme { scheme },
        );
        assert_eq!(refused(&text), expected, "{entry}");
    }
}

#[test]
fn naming_peers_leaves_nothing_for_the_others() {
    let text = minimal(
        r#"console = [{ url = "unix:///s", peers = [{ uid = 1, permissions = "full" }] }]"#,
    );
    assert!(console(&parse(&text)).permissions.is_empty());
    let text = minimal(r#"console = [{ url = "unix:///s", mode = "777" }]"#);
    let config = parse(&text);
    assert!(console(&config).permissions.is_full());
    let path = PathBuf::from("/s");
    assert_eq!(
        console(&config).address,
        Address::Unix { path, mode: 0o777 }
    );
}
