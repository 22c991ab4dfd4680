//! From the configuration as written to the one the daemon works with.

mod console;
mod tls;
mod user;

use super::{
    ConfigError, RepositoryId, ValueError,
    checked::{Config, Debug, Integrity, Missing, Perf, Repository, Storage, Strace, StraceOutput},
    raw,
    value::{self, At},
};
use std::{
    num::NonZeroUsize,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
    time::Duration,
};

/// Largest buffers: far beyond use, far below what an allocation could fail on.
const MAX_BUFFER: u64 = 1 << 20;
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
    let (console, tables_options) = console::listeners(raw.console)?;
    let container_console_options = match raw.container_console_options {
        Some(options) => console::container_options(&options)?,
        None => tables_options,
    };
    let parallel = value::number("mount_parallel", raw.mount_parallel, 10, 1, 1024)?;
    let installs = value::number("max_installs", raw.max_installs, 16, 1, 1024)?;
    Ok(Config {
        console,
        container_console_options,
        data_dir: path("data_dir", raw.data_dir)?,
        log_dir: or_below_run_dir("log_dir", raw.log_dir, "logs")?,
        socket_dir: or_below_run_dir("socket_dir", raw.socket_dir, "sockets")?,
        mount_parallel: non_zero(parallel),
        max_installs: non_zero(installs),
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
        user_namespaces: user::user_namespaces(raw.user_namespaces)?,
        run_dir,
    })
}

fn non_zero(number: u64) -> NonZeroUsize {
    usize::try_from(number)
        .ok()
        .and_then(NonZeroUsize::new)
        .unwrap_or(NonZeroUsize::MIN)
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
