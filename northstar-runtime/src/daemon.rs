//! The daemon from its start to its end.
//!
//! First comes what a process with one thread has to do ([`startup`]). Then the runtime with its threads starts:
//! consoles, repositories, and everything that they ask of the supervisor. The end goes the same way back.

use crate::{
    config::{Config, Missing, RepositoryId},
    console::{Console, ListenError, Listening, TokenKeyError},
    launch::{Context, Filters, Forker, Preparing, ids::IdRanges, persist},
    logs::writer,
    repository::{Claims, OpenError, Repository},
    startup::{self, Prepared},
    storage::ReapError,
    supervisor::{EndError, Stop, Supervisor, report},
};
use northstar_sandbox::{cgroup::CgroupError, forker::SpawnError};
use std::{collections::BTreeSet, io, path::PathBuf, sync::Arc, time::Duration};
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
    /// The cgroup of the containers cannot be made, or another daemon has it.
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
    let (prepared, claimed) = startup::prepare(config, namespace)?;
    let result = threads(config, prepared);
    claimed.release();
    result
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
    let mut supervisor = Supervisor::new(config);
    forward_signals(supervisor.stop()).map_err(RunError::Runtime)?;
    let forker = Arc::new(Forker::new(forker).map_err(RunError::Runtime)?);
    tokio::spawn(attend(Arc::clone(&forker), supervisor.stop()));

    // Keys of consoles come into memory only now that the forker is forked.
    let cancel = CancellationToken::new();
    let console = Console::new(supervisor.handle(), cancel.clone()).map_err(RunError::Token)?;
    let listening = console
        .listen(&config.console)
        .await
        .map_err(RunError::Listen)?;
    let result = async {
        let repositories = tokio::select! {
            repositories = repositories(config) => repositories?,
            // The load goes on meanwhile: what it has not come to by the end, it never does.
            stopped = supervisor.stopped() => return Ok(stopped?),
        };
        let containers: usize = repositories.iter().map(|r| r.packages().count()).sum();
        let context = Arc::new(Context {
            forker: Arc::clone(&forker),
            console: console.clone(),
            console_options: config.container_console_options.clone(),
            hierarchy,
            cgroup: config.cgroup.clone(),
            socket_dir: config.socket_dir.clone(),
            store: store(config),
            preparing: Preparing::default(),
            lenient: lenient(config),
            filters: Filters::default(),
            ids: IdRanges::new(config.user_namespaces),
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
    if result.is_err() {
        // Whatever is stuck goes with it.
        forker.kill();
    }
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

/// Repositories whose containers start without what is missing on the host.
fn lenient(config: &Config) -> BTreeSet<RepositoryId> {
    let configured = config.repositories.iter();
    configured
        .filter(|(_, repository)| repository.missing == Missing::Skip)
        .map(|(id, _)| id.clone())
        .collect()
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
