//! The daemon from its start to its end.
//!
//! The order of the start is the order of this file. First comes what has to be done by a process with one thread: a lock on the
//! run directory, clean-up behind a dead predecessor, the mount namespace, the forker. Then the runtime with its
//! threads starts: consoles, repositories, and everything that they ask of the supervisor.

use crate::{
    config::{Config, Missing},
    console::{Console, ListenError, Listening, TokenKeyError},
    launch::{Context, Forker, persist, sockets},
    logs::writer,
    repository::{Claims, OpenError, Repository},
    storage::{ReapError, Reaped, reap_stale},
    supervisor::{EndError, Stop, Supervisor, report},
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::resource::{Resource, getrlimit, setrlimit},
};
use northstar_sandbox::{
    cgroup::{CgroupError, Hierarchy, TopGroup},
    forker::SpawnError,
    plan::{Rlimit, RlimitKind},
};
use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long the connections of consoles may take to get their last words out.
const CONSOLE_TIME: Duration = Duration::from_secs(1);
/// How long tasks and blocking threads may take at the very end.
const RUNTIME_TIME: Duration = Duration::from_secs(1);

/// Where the daemon lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountNamespace {
    /// In a mount namespace of its own: a daemon that dies takes all its mounts with it.
    Own,
    /// In the one it was started in: its mounts can be looked at from outside.
    Host,
}

/// Why the daemon did not start, or ended with an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A directory of the configuration cannot be made or used.
    #[error("directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The run directory is used by another daemon, or cannot be used.
    #[error("start")]
    RunDirectory(#[source] ReapError),
    /// The cgroup of the containers cannot be made.
    #[error("cgroup")]
    Cgroup(#[source] CgroupError),
    /// There is no mount namespace for the daemon.
    #[error("mount namespace")]
    MountNamespace(#[source] io::Error),
    /// The limit of open descriptors cannot be read.
    #[error("limit of open descriptors")]
    Descriptors(#[source] io::Error),
    /// The forker could not be started.
    #[error("forker")]
    Forker(#[source] SpawnError),
    /// The runtime could not be started.
    #[error("runtime")]
    Runtime(#[source] io::Error),
    /// There is no randomness for the key of the tokens.
    #[error("consoles")]
    Token(#[source] TokenKeyError),
    /// An address cannot be listened on.
    #[error("consoles")]
    Listen(#[source] ListenError),
    /// A repository cannot be used at all.
    #[error("repositories")]
    Repository(#[source] OpenError),
    /// A task of the start ended without a result.
    #[error("the start was interrupted")]
    Interrupted,
    /// It ran, and ended with an error.
    #[error(transparent)]
    End(#[from] EndError),
}

/// What was prepared before there were threads.
struct Prepared {
    run_dir: PathBuf,
    hierarchy: Hierarchy,
    nofile: Rlimit,
    forker: northstar_sandbox::Forker,
}

/// Runs the daemon until it is asked to end. The process must have one thread only.
///
/// # Errors
///
/// See [`RunError`]. Whatever was made is removed.
pub fn run(config: &Config, namespace: MountNamespace) -> Result<(), RunError> {
    if !config.debug.is_empty() {
        warn!(
            "debug is configured, but not in force: this version does not attach strace, perf or commands"
        );
    }
    let run_dir = directories(config)?;
    let _lock = clean_up(&run_dir)?;
    let hierarchy = Hierarchy::detect().map_err(RunError::Cgroup)?;
    for missing in hierarchy.missing() {
        warn!("no cgroup controller {missing}: containers that need it will not start");
    }
    let top = top_group(&hierarchy, &config.cgroup)?;
    let result =
        prepare(run_dir, hierarchy, namespace).and_then(|prepared| threads(config, prepared));
    let removed = top.remove();
    if let Err(error) = removed {
        warn!("cgroup {}: {}", config.cgroup.display(), report(&error));
    }
    result
}

/// Makes the directories. Returns the run directory's absolute path, which is the same in every working directory.
fn directories(config: &Config) -> Result<PathBuf, RunError> {
    for path in [
        &config.run_dir,
        &config.data_dir,
        &config.log_dir,
        &config.socket_dir,
    ] {
        std::fs::create_dir_all(path).map_err(directory(path))?;
    }
    sockets::reset(&config.socket_dir).map_err(directory(&config.socket_dir))?;
    config
        .run_dir
        .canonicalize()
        .map_err(directory(&config.run_dir))
}

fn directory(path: &Path) -> impl Fn(io::Error) -> RunError {
    move |source| RunError::Directory {
        path: path.to_owned(),
        source,
    }
}

/// Locks the run directory and takes away what a dead daemon left in the kernel. The lock holds as long as the
/// returned value lives.
fn clean_up(run_dir: &Path) -> Result<OwnedFd, RunError> {
    let reaped = reap_stale(run_dir).map_err(RunError::RunDirectory)?;
    let Reaped {
        mounts,
        devices,
        failures,
        ..
    } = &reaped;
    for mount in mounts {
        info!("removed the stale mount {}", mount.display());
    }
    for device in devices {
        info!("removed the stale device {device}");
    }
    for failure in failures {
        warn!("clean-up behind a dead daemon: {}", report(failure));
    }
    Ok(reaped.into_lock())
}

fn top_group(hierarchy: &Hierarchy, path: &Path) -> Result<TopGroup, RunError> {
    let top = TopGroup::create(hierarchy, path).map_err(RunError::Cgroup)?;
    if let Err(error) = top.clear() {
        warn!("clean-up behind a dead daemon: {}", report(&error));
    }
    Ok(top)
}

fn prepare(
    run_dir: PathBuf,
    hierarchy: Hierarchy,
    namespace: MountNamespace,
) -> Result<Prepared, RunError> {
    if namespace == MountNamespace::Own {
        mount_namespace().map_err(RunError::MountNamespace)?;
    }
    let nofile = raise_descriptor_limit().map_err(RunError::Descriptors)?;
    let forker = northstar_sandbox::Forker::spawn().map_err(RunError::Forker)?;
    Ok(Prepared {
        run_dir,
        hierarchy,
        nofile,
        forker,
    })
}

/// A mount namespace that the host sees nothing of. It still follows the host: a disk that is unmounted there is not
/// kept busy here, and network namespaces that appear there appear here.
fn mount_namespace() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?;
    Ok(())
}

/// The daemon and the forker hold descriptors for every container; the containers themselves get the limit that the daemon was
/// started with, which is returned.
fn raise_descriptor_limit() -> io::Result<Rlimit> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        warn!("limit of open descriptors stays at {soft}: {error}");
    }
    Ok(Rlimit {
        kind: RlimitKind::Nofile,
        soft: Some(soft),
        hard: Some(hard),
    })
}

/// From here on there are threads.
fn threads(config: &Config, prepared: Prepared) -> Result<(), RunError> {
    if let Err(error) = writer::start() {
        warn!("log: {error}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("northstar")
        .build()
        .map_err(RunError::Runtime)?;
    let result = runtime.block_on(serve(config, prepared));
    runtime.shutdown_timeout(RUNTIME_TIME);
    result
}

async fn serve(config: &Config, prepared: Prepared) -> Result<(), RunError> {
    let Prepared {
        run_dir,
        hierarchy,
        nofile,
        forker,
    } = prepared;
    let supervisor = Supervisor::new(config);
    forward_signals(supervisor.stop()).map_err(RunError::Runtime)?;
    let forker = Arc::new(Forker::new(forker).map_err(RunError::Runtime)?);
    tokio::spawn(attend(Arc::clone(&forker), supervisor.stop()));

    let cancel = CancellationToken::new();
    let console = Console::new(supervisor.handle(), cancel.clone()).map_err(RunError::Token)?;
    let listening = console
        .listen(&config.console)
        .await
        .map_err(RunError::Listen)?;
    let result = async {
        let repositories = repositories(config).await?;
        let containers: usize = repositories.iter().map(|r| r.packages().count()).sum();
        let context = Arc::new(Context {
            forker: Arc::clone(&forker),
            console: console.clone(),
            console_options: config.container_console_options.clone(),
            hierarchy,
            cgroup: config.cgroup.clone(),
            socket_dir: config.socket_dir.clone(),
            store: store(config),
            lenient: config
                .repositories
                .iter()
                .filter(|(_, repository)| repository.missing == Missing::Skip)
                .map(|(id, _)| id.clone())
                .collect(),
            nofile,
        });
        info!(
            "ready: {containers} containers, consoles on [{}]",
            listening.urls.join(", ")
        );
        Ok(supervisor
            .run(config, run_dir, context, repositories)
            .await?)
    }
    .await;
    cancel.cancel();
    close(listening).await;
    result
}

/// Lets the connections end and the sockets be removed.
async fn close(mut listening: Listening) {
    let ended = async { while listening.tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(CONSOLE_TIME, ended).await.is_err() {
        listening.tasks.shutdown().await;
    }
}

/// Persistent data goes to the first repository with a key where 0.9.x did not tell repositories apart.
fn store(config: &Config) -> persist::Store {
    let keyed = config
        .repositories
        .iter()
        .find(|(_, repository)| repository.key.is_some());
    persist::Store {
        dir: config.data_dir.clone(),
        repositories: config
            .repositories
            .iter()
            .map(|(id, _)| id.clone())
            .collect(),
        heir: keyed.map(|(id, _)| id.clone()),
    }
}

/// Opens the repositories one after the other, each on all cores. Of packages with the same name and version the
/// first one counts, in the order of the configuration.
async fn repositories(config: &Config) -> Result<Vec<Repository>, RunError> {
    let configured = config.repositories.clone();
    let open = move || {
        let claims = Claims::default();
        let mut repositories = Vec::new();
        for (id, config) in &configured {
            let (repository, rejected) = Repository::open_with(id, config, &claims)?;
            for rejected in &rejected {
                let reason = report(&rejected.reason);
                warn!(
                    "repository {id}: {} is not used: {reason}",
                    rejected.entry.display()
                );
            }
            info!(
                "repository {id}: {} packages",
                repository.packages().count()
            );
            repositories.push(repository);
        }
        Ok(repositories)
    };
    let opened = tokio::task::spawn_blocking(open)
        .await
        .map_err(|_| RunError::Interrupted)?;
    opened.map_err(RunError::Repository)
}

/// SIGTERM, SIGINT and SIGHUP end the daemon; a second one hastens the end.
fn forward_signals(stop: mpsc::UnboundedSender<Stop>) -> io::Result<()> {
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ] {
        let mut signals = signal(kind)?;
        let stop = stop.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() && stop.send(Stop::Signal).is_ok() {}
        });
    }
    Ok(())
}

/// Keeps the conversation with the forker going until it ends, which is the end of all containers.
async fn attend(forker: Arc<Forker>, stop: mpsc::UnboundedSender<Stop>) {
    let error = forker.serve().await;
    // One that is stopped or stuck must not keep its containers alive.
    forker.kill();
    if stop.send(Stop::ForkerDied).is_ok() {
        warn!("{}", report(&error));
    }
}
