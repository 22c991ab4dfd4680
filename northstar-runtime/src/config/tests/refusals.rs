//! What is refused, and that the error names it.

use super::*;

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
            "max_installs = 0".to_owned(),
            "max_installs",
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
