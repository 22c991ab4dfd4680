use super::*;
use northstar_manifest::{Permission, Permissions};
use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

/// The example of the documentation, as it stands.
const EXAMPLE: &str = r#"console = ["tcp://localhost:4200"]
run_dir = "target/northstar/run"
data_dir = "target/northstar/data"
log_dir = "target/northstar/logs"
mount_parallel = 10
cgroup = "northstar"

[debug.strace]
output = "log"               # or "file": log_dir/strace-<PID>-<name>.log
flags = "-f -s 256"
path = "/bin/strace"
include_runtime = true       # the runtime's own calls before execve too

[debug.perf]
path = "/bin/perf"
flags = ""

[repositories.memory]
key = "examples/northstar.pub"
type = "mem"

[repositories.default]
key = "examples/northstar.pub"
type = { fs = { dir = "target/northstar/repository" } }
"#;

/// The least a configuration needs, with `head` before its first table.
fn minimal(head: &str) -> String {
    format!("{head}\nrun_dir = \"run\"\ndata_dir = \"data\"\n")
}

fn parse(text: &str) -> Config {
    match Config::parse(text) {
        Ok(config) => config,
        Err(error) => panic!("{text}\n{error}: {:?}", std::error::Error::source(&error)),
    }
}

/// The key and the value error of a configuration that must be refused.
fn refused(text: &str) -> (String, ValueError) {
    match Config::parse(text) {
        Err(ConfigError::Value { key, source }) => (key, source),
        other => panic!("{text}\n{other:?}"),
    }
}

/// The parser's message about a configuration that must be refused.
fn malformed(text: &str) -> String {
    match Config::parse(text) {
        Err(ConfigError::Syntax(error)) => error.to_string(),
        other => panic!("{text}\n{other:?}"),
    }
}

fn console(config: &Config) -> &Listener {
    assert_eq!(config.console.len(), 1);
    &config.console[0]
}

#[test]
fn the_documented_example_loads_as_it_stands() {
    let id = |name: &str| name.parse::<RepositoryId>().unwrap();
    let repository = |storage, capacity_num, capacity_size| Repository {
        storage,
        key: Some(PathBuf::from("examples/northstar.pub")),
        integrity: Integrity::DmVerity,
        missing: Missing::Refuse,
        mount_on_start: false,
        capacity_num,
        capacity_size,
        start_command: true,
    };
    let fs = Storage::Fs {
        dir: PathBuf::from("target/northstar/repository"),
    };
    let expected = Config {
        console: vec![Listener {
            address: Address::Tcp {
                host: "localhost".to_owned(),
                port: 4200,
            },
            permissions: Permissions::full(),
            peers: vec![],
            limits: ListenerOptions::default(),
            options: ConnectionOptions::default(),
        }],
        container_console_options: ConnectionOptions::for_containers(),
        run_dir: PathBuf::from("target/northstar/run"),
        data_dir: PathBuf::from("target/northstar/data"),
        log_dir: PathBuf::from("target/northstar/logs"),
        socket_dir: PathBuf::from("target/northstar/run/sockets"),
        mount_parallel: NonZeroUsize::new(10).unwrap(),
        cgroup: PathBuf::from("northstar"),
        stop_timeout: Duration::from_secs(5),
        loop_device_timeout: Duration::from_secs(5),
        event_buffer_size: 256,
        notification_buffer_size: 1024,
        max_installs: NonZeroUsize::new(16).unwrap(),
        repositories: vec![
            (
                id("memory"),
                repository(Storage::Mem, Some(128), Some(512 << 20)),
            ),
            (id("default"), repository(fs, None, None)),
        ],
        user_namespaces: crate::config::checked::UserNamespaces::default(),
        debug: Debug {
            strace: Some(Strace {
                output: StraceOutput::Log,
                flags: vec!["-f".to_owned(), "-s".to_owned(), "256".to_owned()],
                path: Some(PathBuf::from("/bin/strace")),
                include_runtime: true,
            }),
            perf: Some(Perf {
                path: Some(PathBuf::from("/bin/perf")),
                flags: vec![],
            }),
            commands: vec![],
        },
    };
    assert_eq!(parse(EXAMPLE), expected);
}

#[test]
fn the_documented_limits_are_the_defaults() {
    let options = ConnectionOptions::default();
    assert_eq!(options.max_request_size, 1 << 20);
    assert_eq!(options.max_requests_per_sec.get(), 1000);
    assert_eq!(options.max_npk_install_size, 256 << 20);
    assert_eq!(options.npk_stream_timeout, Duration::from_secs(10));
    assert_eq!(options.token_validity, Duration::from_secs(60));
    assert_eq!(options.connect_timeout, Some(Duration::from_secs(10)));
    let containers = ConnectionOptions::for_containers();
    assert_eq!(
        (containers.connect_timeout, containers.idle_timeout),
        (None, None)
    );
}

#[test]
fn repositories_keep_the_order_of_the_file() {
    let table = |name: &str| format!("[repositories.{name}]\ntype = \"mem\"\n");
    let names = ["zebra", "alpha", "m1", "m0", "beta"];
    let text = minimal("") + &names.map(table).concat();
    let config = parse(&text);
    let found: Vec<&str> = config
        .repositories
        .iter()
        .map(|(id, _)| id.as_str())
        .collect();
    assert_eq!(found, names);
}

#[test]
fn every_key_can_be_given() {
    let config = parse(
        r#"
        run_dir = "/run/n"
        data_dir = "/data"
        log_dir = "/log"
        socket_dir = "/sockets"
        mount_parallel = 3
        cgroup = "a/b"
        stop_timeout = "1m"
        loop_device_timeout = "250ms"
        event_buffer_size = 7
        notification_buffer_size = 8

        [container_console_options]
        max_requests_per_sec = 5

        [[console]]
        url = "unix:///run/northstar.sock"
        permissions = ["list", "ident"]
        mode = "0660"
        peers = [{ uid = 1000, permissions = ["start"] }, { gid = 5, permissions = "full" }]
        [console.options]
        max_request_size = "64KiB"
        max_requests_per_sec = 10
        max_npk_install_size = "1GB"
        npk_stream_timeout = "2s"
        npk_min_rate = "1KiB"
        token_validity = "1h"
        connect_timeout = "1s"
        idle_timeout = "never"
        stall_timeout = "3s"
        max_connections = 1
        max_connections_per_peer = 2
        max_pending_connections = 3
        max_requests_per_sec_per_peer = 4

        [debug]
        commands = ["strace -p <PID>"]
        [debug.strace]
        output = "file"

        [repositories.r]
        type = { fs = { dir = "/repo" } }
        integrity = "full-read"
        missing = "skip"
        mount_on_start = true
        capacity_num = 4
        capacity_size = "10MB"
        start_command = false
        "#,
    );
    assert_eq!(config.log_dir, PathBuf::from("/log"));
    assert_eq!(config.socket_dir, PathBuf::from("/sockets"));
    assert_eq!(config.cgroup, PathBuf::from("a/b"));
    assert_eq!(config.stop_timeout, Duration::from_secs(60));
    assert_eq!(config.loop_device_timeout, Duration::from_millis(250));
    assert_eq!(
        (config.event_buffer_size, config.notification_buffer_size),
        (7, 8)
    );
    assert_eq!(
        config.container_console_options.max_requests_per_sec.get(),
        5
    );
    assert_eq!(config.debug.commands, ["strace -p <PID>"]);
    let strace = config.debug.strace.clone().unwrap();
    assert_eq!(
        (strace.output, strace.path, strace.include_runtime),
        (StraceOutput::File, None, false)
    );

    let listener = console(&config);
    let path = PathBuf::from("/run/northstar.sock");
    assert_eq!(listener.address, Address::Unix { path, mode: 0o660 });
    let listed: Permissions = [Permission::List, Permission::Ident].into_iter().collect();
    assert_eq!(listener.permissions, listed);
    let first = &listener.peers[0];
    assert_eq!((first.uid, first.gid), (Some(1000), None));
    assert_eq!(first.permissions, [Permission::Start].into_iter().collect());
    let second = &listener.peers[1];
    assert_eq!((second.uid, second.gid), (None, Some(5)));
    assert!(second.permissions.is_full());
    let limits = &listener.limits;
    assert_eq!(
        (
            limits.max_connections,
            limits.max_connections_per_peer,
            limits.max_pending_connections,
            limits.max_requests_per_sec_per_peer.get()
        ),
        (1, 2, 3, 4)
    );
    let expected = ConnectionOptions {
        max_request_size: 64 * 1024,
        max_requests_per_sec: 10.try_into().unwrap(),
        max_npk_install_size: 1_000_000_000,
        npk_stream_timeout: Duration::from_secs(2),
        npk_min_rate: 1024.try_into().unwrap(),
        token_validity: Duration::from_secs(3600),
        connect_timeout: Some(Duration::from_secs(1)),
        idle_timeout: None,
        stall_timeout: Duration::from_secs(3),
    };
    assert_eq!(listener.options, expected);

    let (_, repository) = &config.repositories[0];
    let expected = Repository {
        storage: Storage::Fs {
            dir: "/repo".into(),
        },
        key: None,
        integrity: Integrity::FullRead,
        missing: Missing::Skip,
        mount_on_start: true,
        capacity_num: Some(4),
        capacity_size: Some(10_000_000),
        start_command: false,
    };
    assert_eq!(repository, &expected);
}

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

/// A console over TLS with everything it needs, and one more key.
fn tls_console(more: &str) -> String {
    let needed = r#"url = "tls://0.0.0.0:4200", cert = "c", key = "k", client_ca = "a""#;
    minimal(&format!("console = [{{ {needed}{more} }}]"))
}

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

#[test]
fn values_out_of_range_are_refused_by_key() {
    let mode = |text: &str| ValueError::Mode {
        text: text.to_owned(),
    };
    let cgroup = |path: &str| ValueError::Cgroup { path: path.into() };
    let path = |path: &str| ValueError::Path { path: path.into() };
    let number = |value, min, max| ValueError::NumberRange { value, min, max };
    let duration = |text: &str, min, max| ValueError::DurationRange {
        text: text.to_owned(),
        min: Duration::from_millis(min),
        max: Duration::from_secs(max),
    };
    let size = |text: &str, min, max| ValueError::SizeRange {
        text: text.to_owned(),
        min,
        max,
    };
    let options = |options: &str| {
        format!(r#"console = [{{ url = "unix:///s", options = {{ {options} }} }}]"#)
    };
    let table = [
        (
            "user_namespaces = { first_id = 65535 }".to_owned(),
            "user_namespaces.first_id",
            number(65_535, 65_536, 4_294_901_759),
        ),
        (
            "user_namespaces = { first_id = 4294836223, count = 3 }".to_owned(),
            "user_namespaces.count",
            number(3, 1, 2),
        ),
        (
            "user_namespaces = { count = 0 }".to_owned(),
            "user_namespaces.count",
            number(0, 1, 36_863),
        ),
        (
            "mount_parallel = 0".to_owned(),
            "mount_parallel",
            number(0, 1, 1024),
        ),
        (
            "event_buffer_size = 0".to_owned(),
            "event_buffer_size",
            number(0, 1, 1 << 20),
        ),
        (
            "notification_buffer_size = 1048577".to_owned(),
            "notification_buffer_size",
            number(1_048_577, 1, 1 << 20),
        ),
        ("cgroup = \"\"".to_owned(), "cgroup", path("")),
        ("cgroup = \"/x\"".to_owned(), "cgroup", cgroup("/x")),
        ("cgroup = \"a/../b\"".to_owned(), "cgroup", cgroup("a/../b")),
        ("log_dir = \"\"".to_owned(), "log_dir", path("")),
        (
            "stop_timeout = \"2h\"".to_owned(),
            "stop_timeout",
            duration("2h", 0, 3600),
        ),
        (
            "loop_device_timeout = \"0s\"".to_owned(),
            "loop_device_timeout",
            duration("0s", 1, 3600),
        ),
        (
            r#"console = [{ url = "unix:///s", mode = "0888" }]"#.to_owned(),
            "console[0].mode",
            mode("0888"),
        ),
        (
            r#"console = [{ url = "unix:///s", mode = "1777" }]"#.to_owned(),
            "console[0].mode",
            mode("1777"),
        ),
        (
            r#"console = [{ url = "unix:///s", mode = "+7" }]"#.to_owned(),
            "console[0].mode",
            mode("+7"),
        ),
        (
            r#"console = [{ url = "unix:///s", peers = [{ permissions = "full" }] }]"#.to_owned(),
            "console[0].peers[0]",
            ValueError::PeerWithoutId,
        ),
        (
            r#"console = ["tcp://localhost:1", "unix:///s", "tcp://localhost:1"]"#.to_owned(),
            "console[2].url",
            ValueError::Duplicate {
                of: "console[0].url".to_owned(),
            },
        ),
        (
            options("max_requests_per_sec = 0"),
            "console[0].options.max_requests_per_sec",
            number(0, 1, 1_000_000_000),
        ),
        (
            options("max_request_size = \"1\""),
            "console[0].options.max_request_size",
            size("1", 256, 8 << 20),
        ),
        (
            options("max_npk_install_size = \"0\""),
            "console[0].options.max_npk_install_size",
            size("0", 1, 1 << 40),
        ),
        (
            options("npk_stream_timeout = \"100years\""),
            "console[0].options.npk_stream_timeout",
            duration("100years", 1, 24 * 3600),
        ),
        (
            options("max_connections = 0"),
            "console[0].options.max_connections",
            number(0, 1, 65_536),
        ),
        (
            "container_console_options = { max_connections = 1 }".to_owned(),
            "container_console_options.max_connections",
            ValueError::NotForContainers,
        ),
        (
            "debug = { commands = [\"x\", \" \"] }".to_owned(),
            "debug.commands[1]",
            ValueError::EmptyCommand,
        ),
    ];
    for (head, key, error) in table {
        assert_eq!(refused(&minimal(&head)), (key.to_owned(), error), "{head}");
    }
}

#[test]
fn what_is_no_size_or_duration_is_refused_by_key() {
    let text = minimal("stop_timeout = \"5\"");
    let (key, error) = refused(&text);
    assert_eq!(key, "stop_timeout");
    assert!(matches!(error, ValueError::Duration { text, .. } if text == "5"));

    for size in ["", "x", "1 bottle", "-1"] {
        let head = format!(r#"container_console_options = {{ max_request_size = "{size}" }}"#);
        let key = "container_console_options.max_request_size".to_owned();
        let text = size.to_owned();
        assert_eq!(
            refused(&minimal(&head)),
            (key, ValueError::Size { text }),
            "{size}"
        );
    }
}

#[test]
fn repositories_are_checked_by_key() {
    let repository =
        |name: &str, rest: &str| minimal("") + &format!("[repositories.{name}]\n{rest}");
    let invalid = InvalidRepositoryId {
        name: "..".to_owned(),
    };
    assert_eq!(
        refused(&repository("\"..\"", "type = \"mem\"")),
        (
            "repositories...".to_owned(),
            ValueError::RepositoryId(invalid)
        )
    );
    let path = PathBuf::new();
    assert_eq!(
        refused(&repository("r", "type = { fs = { dir = \"\" } }")),
        (
            "repositories.r.type.fs.dir".to_owned(),
            ValueError::Path { path }
        )
    );
    let (value, min, max) = (0, 1, u64::from(u32::MAX));
    assert_eq!(
        refused(&repository("r", "type = \"mem\"\ncapacity_num = 0")),
        (
            "repositories.r.capacity_num".to_owned(),
            ValueError::NumberRange { value, min, max }
        )
    );
    let twice = repository("r", "type = { fs = { dir = \"d\" } }\n")
        + "[repositories.a]\ntype = { fs = { dir = \"d\" } }";
    let of = "repositories.r.type.fs.dir".to_owned();
    assert_eq!(
        refused(&twice),
        (
            "repositories.a.type.fs.dir".to_owned(),
            ValueError::Duplicate { of }
        )
    );
}

#[test]
fn unknown_keys_and_wrong_types_are_refused_with_what_is_allowed() {
    let table = [
        (minimal("speed = 1"), "speed"),
        (
            minimal("console = [{ url = \"unix:///s\", modes = 1 }]"),
            "modes",
        ),
        (minimal("console = [{ permissions = \"full\" }]"), "url"),
        (minimal("console = \"tcp://localhost:1\""), "a list of URLs"),
        (minimal("console = [1]"), "a URL or a table"),
        (
            minimal("console = { global = { bind = \"unix:///s\", x = 1 } }"),
            "`x`",
        ),
        (minimal("console = { local = 1 }"), "local"),
        (
            minimal("console = [{ url = \"unix:///s\", permissions = [\"root\"] }]"),
            "root",
        ),
        (
            minimal("console = [{ url = \"unix:///s\", permissions = \"all\" }]"),
            "all",
        ),
        (
            minimal("console = [{ url = \"unix:///s\", options = { depth = 1 } }]"),
            "depth",
        ),
        (minimal("stop_timeout = 5"), "string"),
        (minimal("mount_parallel = -1"), "-1"),
        (minimal("debug = { gdb = {} }"), "gdb"),
        (
            minimal("debug = { strace = { output = \"null\" } }"),
            "null",
        ),
        (minimal("debug = { perf = { out = 1 } }"), "out"),
        (minimal("run_dir = \"again\""), "duplicate key"),
        (
            minimal("repositories = { r = { type = \"mem\", x = 1 } }"),
            "`x`",
        ),
        (
            minimal("repositories = { r = { type = \"disk\" } }"),
            "disk",
        ),
        (
            minimal("repositories = { r = { type = { fs = {} } } }"),
            "dir",
        ),
        (
            minimal("repositories = { r = { type = { fs = { dir = \"d\", x = 1 } } } }"),
            "available keys: dir",
        ),
        (minimal("repositories = { r = {} }"), "type"),
        (
            minimal("repositories = { r = { type = \"mem\", integrity = \"none\" } }"),
            "none",
        ),
        (
            minimal("repositories = { r = { type = \"mem\", missing = \"warn\" } }"),
            "warn",
        ),
        (minimal("repositories = []"), "[repositories.NAME]"),
        ("data_dir = \"d\"".to_owned(), "run_dir"),
        ("run_dir = \"d\"".to_owned(), "data_dir"),
    ];
    for (text, word) in table {
        let message = malformed(&text);
        assert!(message.contains(word), "{text}\n{message}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = Path::new("/nonexistent/northstar.toml");
    match Config::load(missing) {
        Err(ConfigError::Read { path, source }) => {
            assert_eq!(path, missing);
            assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
        }
        other => panic!("{other:?}"),
    }
}
