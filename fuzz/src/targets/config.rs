//! The configuration of the daemon.

use northstar_runtime::config::Config;

use super::{Target, leave};
use crate::memory;

/// The configuration of the daemon.
pub static TARGET: Target = Target {
    name: "config",
    run,
    repair: leave,
    seeds,
    words: WORDS,
    limit: 2048,
};

const WORDS: &[&[u8]] = &[
    b"console = [\"tcp://localhost:4200\"]\n",
    b"\"unix:///tmp/s\"",
    b"[console.global]\n",
    b"[[console]]\n",
    b"bind = ",
    b"permissions = ",
    b"\"full\"",
    b"[container_console_options]\n",
    b"run_dir = \"a\"\n",
    b"data_dir = \"b\"\n",
    b"log_dir = ",
    b"cgroup = ",
    b"stop_timeout = \"5s\"\n",
    b"event_buffer_size = 0\n",
    b"[user_namespaces]\n",
    b"[debug.strace]\n",
    b"[debug.perf]\n",
    b"[repositories.default]\n",
    b"type = \"mem\"\n",
    b"type = { fs = { dir = \"d\" } }\n",
    b"key = ",
    b"mount_on_start = true\n",
    b"capacity_size = \"10G\"\n",
    b"[[repositories]]\n",
    b"9223372036854775807",
    b"-1",
    b"1e308",
    b"nan",
    b"\"\"\"",
    b"'''",
    b"\\u0000",
    b"1979-05-27T07:32:00Z",
    b"a.b.c.d.e = 1\n",
    b"[[[",
    b"\r",
];

/// Most memory in bytes that the configuration takes while it is read.
const LIMIT: usize = 8 * 1024 * 1024;

fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let first = memory::bounded(LIMIT, || Config::parse(text));
    match (first, Config::parse(text)) {
        (Ok(first), Ok(second)) => assert_eq!(format!("{first:?}"), format!("{second:?}")),
        (Err(first), Err(second)) => {
            assert_eq!(first.to_string(), second.to_string());
            assert!(!first.to_string().is_empty());
        }
        (first, _) => panic!("read differently the second time: {first:?}"),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let shipped = include_bytes!("../../../northstar.toml").to_vec();
    let tables = br#"run_dir = "r"
data_dir = "d"
stop_timeout = "3s"
mount_parallel = 2

[[console]]
url = "unix:///run/n"
mode = "0660"
permissions = ["list", "start"]

[repositories.a]
type = { fs = { dir = "p" } }
capacity_num = 3
"#;
    let old = br#"run_dir = "r"
data_dir = "d"
[console.global]
bind = "tcp://127.0.0.1:4200"
permissions = "full"
[console.options]
max_request_size = "1MB"
[repositories.m]
type = "mem"
"#;
    vec![shipped, tables.to_vec(), old.to_vec()]
}
