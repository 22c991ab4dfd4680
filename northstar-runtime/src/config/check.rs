//! From the configuration as written to the one the daemon works with.

use super::RepositoryId;
use super::{
    ConfigError, ValueError,
    address::{self, Url},
    checked::{
        Address, Config, ConnectionOptions, Debug, Integrity, Listener, ListenerOptions,
        MAX_REQUEST_SIZE, Missing, Peer, Perf, Repository, Storage, Strace, StraceOutput,
    },
    raw,
    value::{self, At},
};
use northstar_manifest::Permissions;
use std::{
    num::{NonZeroU32, NonZeroUsize},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
    time::Duration,
};

/// Largest buffers: far beyond use, far below what an allocation could fail on.
const MAX_BUFFER: u64 = 1 << 20;
/// More requests per second than can be told from no limit.
const MAX_RATE: u64 = 1_000_000_000;
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const MIB: u64 = 1024 * 1024;
/// What a memory repository may hold if nothing is said: memory is never unlimited by default.
const MEM_CAPACITY_NUM: u32 = 128;
const MEM_CAPACITY_SIZE: u64 = 512 * MIB;

pub(super) fn config(raw: raw::Raw) -> Result<Config, ConfigError> {
    let run_dir = path("run_dir", raw.run_dir)?;
    let or_below_run_dir = |key: &str, given: Option<PathBuf>, name: &str| match given {
        Some(given) => path(key, given),
        None => Ok(run_dir.join(name)),
    };
    let (console, tables_options) = console(raw.console)?;
    let container_options = raw.container_console_options.map_or_else(
        || Ok(tables_options),
        |options| {
            for_containers("container_console_options", &options)?;
            connection_options(
                "container_console_options",
                &options,
                ConnectionOptions::for_containers(),
            )
        },
    )?;
    let parallel = value::number("mount_parallel", raw.mount_parallel, 10, 1, 1024)?;
    Ok(Config {
        console,
        container_console_options: container_options,
        data_dir: path("data_dir", raw.data_dir)?,
        log_dir: or_below_run_dir("log_dir", raw.log_dir, "logs")?,
        socket_dir: or_below_run_dir("socket_dir", raw.socket_dir, "sockets")?,
        mount_parallel: usize::try_from(parallel)
            .ok()
            .and_then(NonZeroUsize::new)
            .unwrap_or(NonZeroUsize::MIN),
        cgroup: cgroup(raw.cgroup)?,
        stop_timeout: value::duration(
            "stop_timeout",
            raw.stop_timeout.as_deref(),
            Duration::from_secs(5),
            Duration::ZERO..=HOUR,
        )?,
        loop_device_timeout: value::duration(
            "loop_device_timeout",
            raw.loop_device_timeout.as_deref(),
            Duration::from_secs(5),
            MILLISECOND..=HOUR,
        )?,
        event_buffer_size: buffer("event_buffer_size", raw.event_buffer_size, 256)?,
        notification_buffer_size: buffer(
            "notification_buffer_size",
            raw.notification_buffer_size,
            1024,
        )?,
        repositories: repositories(raw.repositories)?,
        debug: debug(raw.debug)?,
        run_dir,
    })
}

fn buffer(key: &str, given: Option<u64>, default: u64) -> Result<usize, ConfigError> {
    let size = value::number(key, given, default, 1, MAX_BUFFER)?;
    Ok(usize::try_from(size).unwrap_or(1))
}

fn path(key: &str, path: PathBuf) -> Result<PathBuf, ConfigError> {
    if path.as_os_str().is_empty() || path.as_os_str().as_bytes().contains(&0) {
        return Err(ValueError::Path { path }).at(key);
    }
    Ok(path)
}

fn cgroup(given: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    let cgroup = path(
        "cgroup",
        given.unwrap_or_else(|| PathBuf::from("northstar")),
    )?;
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if cgroup.components().all(plain) {
        Ok(cgroup)
    } else {
        Err(ValueError::Cgroup { path: cgroup }).at("cgroup")
    }
}

/// The listeners, and the options of containers' consoles as far as `console` says them.
fn console(raw: raw::Console) -> Result<(Vec<Listener>, ConnectionOptions), ConfigError> {
    match raw {
        raw::Console::List(entries) => {
            let listeners = entries
                .into_iter()
                .enumerate()
                .map(|(index, raw::Entry(table))| {
                    listener(&format!("console[{index}]"), "url", table)
                })
                .collect::<Result<Vec<_>, _>>()?;
            for (index, one) in listeners.iter().enumerate() {
                let earlier = listeners.iter().take(index);
                if let Some(of) = earlier.into_iter().position(|other| conflict(other, one)) {
                    let of = format!("console[{of}].url");
                    return Err(ValueError::Duplicate { of }).at(format!("console[{index}].url"));
                }
            }
            Ok((listeners, ConnectionOptions::for_containers()))
        }
        raw::Console::Tables(tables) => {
            let options = tables.options.unwrap_or_default();
            let containers = ConnectionOptions::for_containers();
            let containers = connection_options("console.options", &options, containers)?;
            let global = tables.global.map(|global| {
                let table = raw::Table {
                    url: global.bind,
                    permissions: global.permissions,
                    options: global.options.or(Some(options)),
                    ..raw::Table::default()
                };
                listener("console.global", "bind", table)
            });
            Ok((global.transpose()?.into_iter().collect(), containers))
        }
    }
}

/// Both want the same address. Any free port is always another one.
fn conflict(one: &Listener, other: &Listener) -> bool {
    match (&one.address, &other.address) {
        (Address::Tcp { port: 0, .. }, Address::Tcp { .. }) => false,
        (Address::Tcp { host: a, port: p }, Address::Tcp { host: b, port: q }) => p == q && a == b,
        (Address::Unix { path: a, .. }, Address::Unix { path: b, .. }) => a == b,
        _ => false,
    }
}

fn listener(key: &str, url_key: &str, table: raw::Table) -> Result<Listener, ConfigError> {
    let url_key = format!("{key}.{url_key}");
    let url = address::parse(&table.url).at(&url_key)?;
    let only_for = |name: &str, scheme: &'static str, given: bool| {
        let given = if given {
            Err(ValueError::OtherScheme { scheme })
        } else {
            Ok(())
        };
        given.at(format!("{key}.{name}"))
    };
    if !matches!(url, Url::Unix { .. }) {
        only_for("mode", "unix://", table.mode.is_some())?;
        only_for("peers", "unix://", table.peers.is_some())?;
    }
    let files = [
        ("cert", table.cert),
        ("key", table.key),
        ("client_ca", table.client_ca),
    ];
    for (name, file) in files {
        match (&url, file) {
            (Url::Tls { .. }, Some(file)) => drop(path(&format!("{key}.{name}"), file)?),
            (Url::Tls { .. }, None) => {
                return Err(ValueError::TlsFile).at(format!("{key}.{name}"));
            }
            (_, file) => only_for(name, "tls://", file.is_some())?,
        }
    }
    let address = match url {
        Url::Tcp { host, port } => address::loopback(host, port).at(&url_key)?,
        Url::Unix { path } => Address::Unix {
            path,
            mode: mode(&format!("{key}.mode"), table.mode)?,
        },
        Url::Tls { .. } => return Err(ValueError::TlsUnsupported).at(&url_key),
    };
    // Who names the users that may do something has not said that all others may do everything.
    let permissions = match (table.permissions, &table.peers) {
        (Some(permissions), _) => permissions,
        (None, Some(_)) => Permissions::none(),
        (None, None) => Permissions::full(),
    };
    let options = table.options.unwrap_or_default();
    let options_key = format!("{key}.options");
    Ok(Listener {
        address,
        permissions,
        peers: peers(key, table.peers.unwrap_or_default())?,
        limits: listener_options(&options_key, &options)?,
        options: connection_options(&options_key, &options, ConnectionOptions::default())?,
    })
}

fn mode(key: &str, given: Option<String>) -> Result<u32, ConfigError> {
    let Some(text) = given else {
        return Ok(0o600);
    };
    let octal = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = u32::from_str_radix(&text, 8)
        .ok()
        .filter(|mode| octal && *mode <= 0o777);
    mode.ok_or(ValueError::Mode { text }).at(key)
}

fn peers(key: &str, peers: Vec<raw::Peer>) -> Result<Vec<Peer>, ConfigError> {
    let peer = |(index, peer): (usize, raw::Peer)| {
        if peer.uid.is_none() && peer.gid.is_none() {
            return Err(ValueError::PeerWithoutId).at(format!("{key}.peers[{index}]"));
        }
        Ok(Peer {
            uid: peer.uid,
            gid: peer.gid,
            permissions: peer.permissions,
        })
    };
    peers.into_iter().enumerate().map(peer).collect()
}

fn listener_options(key: &str, raw: &raw::Options) -> Result<ListenerOptions, ConfigError> {
    let default = ListenerOptions::default();
    let limit = |name: &str, given: Option<u64>, default: usize| {
        let limit = value::number(&format!("{key}.{name}"), given, default as u64, 1, 65_536)?;
        Ok::<_, ConfigError>(usize::try_from(limit).unwrap_or(default))
    };
    // Who raises the rate of a connection means its peer too.
    let of_connection = raw.max_requests_per_sec.unwrap_or(1000);
    let rate = value::number(
        &format!("{key}.max_requests_per_sec_per_peer"),
        raw.max_requests_per_sec_per_peer,
        of_connection.saturating_mul(5).clamp(1, MAX_RATE),
        1,
        MAX_RATE,
    )?;
    Ok(ListenerOptions {
        max_connections: limit(
            "max_connections",
            raw.max_connections,
            default.max_connections,
        )?,
        max_connections_per_peer: limit(
            "max_connections_per_peer",
            raw.max_connections_per_peer,
            default.max_connections_per_peer,
        )?,
        max_pending_connections: limit(
            "max_pending_connections",
            raw.max_pending_connections,
            default.max_pending_connections,
        )?,
        max_requests_per_sec_per_peer: non_zero(rate)
            .unwrap_or(default.max_requests_per_sec_per_peer),
    })
}

/// A container's console is one connected socket: nothing listens.
fn for_containers(key: &str, raw: &raw::Options) -> Result<(), ConfigError> {
    let listener_only = [
        ("max_connections", raw.max_connections),
        ("max_connections_per_peer", raw.max_connections_per_peer),
        ("max_pending_connections", raw.max_pending_connections),
        (
            "max_requests_per_sec_per_peer",
            raw.max_requests_per_sec_per_peer,
        ),
    ];
    match listener_only.iter().find(|(_, given)| given.is_some()) {
        Some((name, _)) => Err(ValueError::NotForContainers).at(format!("{key}.{name}")),
        None => Ok(()),
    }
}

fn connection_options(
    key: &str,
    raw: &raw::Options,
    default: ConnectionOptions,
) -> Result<ConnectionOptions, ConfigError> {
    let key = |name: &str| format!("{key}.{name}");
    let timeout = |name: &str, given: &Option<String>, default: Duration| {
        value::duration(
            &key(name),
            given.as_deref(),
            default,
            MILLISECOND..=24 * HOUR,
        )
    };
    let or_never =
        |name: &str, given: &Option<String>, default: Option<Duration>| match given.as_deref() {
            None => Ok(default),
            Some("never") => Ok(None),
            Some(_) => timeout(name, given, Duration::ZERO).map(Some),
        };
    let request_size = value::size(
        &key("max_request_size"),
        raw.max_request_size.as_deref(),
        default.max_request_size as u64,
        256..=MAX_REQUEST_SIZE as u64,
    )?;
    let rate = value::number(
        &key("max_requests_per_sec"),
        raw.max_requests_per_sec,
        default.max_requests_per_sec.get().into(),
        1,
        MAX_RATE,
    )?;
    let min_rate = value::size(
        &key("npk_min_rate"),
        raw.npk_min_rate.as_deref(),
        default.npk_min_rate.get().into(),
        1..=1 << 30,
    )?;
    Ok(ConnectionOptions {
        max_request_size: usize::try_from(request_size).unwrap_or(default.max_request_size),
        max_requests_per_sec: non_zero(rate).unwrap_or(default.max_requests_per_sec),
        max_npk_install_size: value::size(
            &key("max_npk_install_size"),
            raw.max_npk_install_size.as_deref(),
            default.max_npk_install_size,
            1..=1 << 40,
        )?,
        npk_stream_timeout: timeout(
            "npk_stream_timeout",
            &raw.npk_stream_timeout,
            default.npk_stream_timeout,
        )?,
        npk_min_rate: non_zero(min_rate).unwrap_or(default.npk_min_rate),
        token_validity: timeout(
            "token_validity",
            &raw.token_validity,
            default.token_validity,
        )?,
        connect_timeout: or_never(
            "connect_timeout",
            &raw.connect_timeout,
            default.connect_timeout,
        )?,
        idle_timeout: or_never("idle_timeout", &raw.idle_timeout, default.idle_timeout)?,
        stall_timeout: timeout("stall_timeout", &raw.stall_timeout, default.stall_timeout)?,
    })
}

fn non_zero(number: u64) -> Option<NonZeroU32> {
    u32::try_from(number).ok().and_then(NonZeroU32::new)
}

fn repositories(raw: raw::Repositories) -> Result<Vec<(RepositoryId, Repository)>, ConfigError> {
    let mut repositories: Vec<(RepositoryId, Repository)> = Vec::new();
    for (name, table) in raw.0 {
        let key = format!("repositories.{name}");
        let id = name
            .parse::<RepositoryId>()
            .map_err(ValueError::from)
            .at(&key)?;
        let repository = repository(&key, table)?;
        let same_dir = |(_, other): &&(RepositoryId, Repository)| {
            matches!(repository.storage, Storage::Fs { .. }) && other.storage == repository.storage
        };
        if let Some((other, _)) = repositories.iter().find(same_dir) {
            let of = format!("repositories.{other}.type.fs.dir");
            return Err(ValueError::Duplicate { of }).at(format!("{key}.type.fs.dir"));
        }
        repositories.push((id, repository));
    }
    Ok(repositories)
}

fn repository(key: &str, raw: raw::Repository) -> Result<Repository, ConfigError> {
    let key_of = |name: &str| format!("{key}.{name}");
    let storage = match raw.kind {
        raw::Kind::Mem => Storage::Mem,
        raw::Kind::Fs { dir } => Storage::Fs {
            dir: path(&key_of("type.fs.dir"), dir)?,
        },
    };
    let in_memory = storage == Storage::Mem;
    let num = raw.capacity_num.map(|num| {
        let num = value::number(&key_of("capacity_num"), Some(num), 0, 1, u32::MAX.into())?;
        Ok::<_, ConfigError>(u32::try_from(num).unwrap_or(u32::MAX))
    });
    let size = raw.capacity_size.map(|size| {
        value::size(
            &key_of("capacity_size"),
            Some(size.as_str()),
            0,
            1..=u64::MAX,
        )
    });
    Ok(Repository {
        storage,
        key: raw.key.map(|file| path(&key_of("key"), file)).transpose()?,
        integrity: match raw.integrity {
            raw::Integrity::DmVerity => Integrity::DmVerity,
            raw::Integrity::FullRead => Integrity::FullRead,
        },
        missing: match raw.missing {
            raw::Missing::Refuse => Missing::Refuse,
            raw::Missing::Skip => Missing::Skip,
        },
        mount_on_start: raw.mount_on_start,
        capacity_num: num.transpose()?.or(in_memory.then_some(MEM_CAPACITY_NUM)),
        capacity_size: size.transpose()?.or(in_memory.then_some(MEM_CAPACITY_SIZE)),
        start_command: raw.start_command.unwrap_or(true),
    })
}

fn debug(raw: raw::Debug) -> Result<Debug, ConfigError> {
    let words = |flags: String| flags.split_whitespace().map(str::to_owned).collect();
    let program = |key: &str, file: Option<PathBuf>| file.map(|file| path(key, file)).transpose();
    for (index, command) in raw.commands.iter().enumerate() {
        if command.split_whitespace().next().is_none()
            || Path::new(command).as_os_str().as_bytes().contains(&0)
        {
            return Err(ValueError::EmptyCommand).at(format!("debug.commands[{index}]"));
        }
    }
    let strace = raw.strace.map(|strace| {
        Ok::<_, ConfigError>(Strace {
            output: match strace.output {
                raw::StraceOutput::File => StraceOutput::File,
                raw::StraceOutput::Log => StraceOutput::Log,
            },
            flags: words(strace.flags),
            path: program("debug.strace.path", strace.path)?,
            include_runtime: strace.include_runtime,
        })
    });
    let perf = raw.perf.map(|perf| {
        Ok::<_, ConfigError>(Perf {
            path: program("debug.perf.path", perf.path)?,
            flags: words(perf.flags),
        })
    });
    Ok(Debug {
        strace: strace.transpose()?,
        perf: perf.transpose()?,
        commands: raw.commands,
    })
}
