//! What can be given, and what it is if it is not.

use super::*;

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
        max_installs = 4
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
    assert_eq!(config.max_installs.get(), 4);
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
