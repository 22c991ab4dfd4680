//! From an accepted start to a running program, and from its end to nothing left.
//!
//! ```text
//! Request --resolve--> Resolved --plan--> Planned --arm, confine--> Armed --exec--> Running --watch--> (gone)
//! ```
//!
//! Each phase is a type that the next one consumes; a caller can neither skip nor repeat one. Each can undo itself:
//! what it made is released in reverse order when a later one fails, and by [`watch`] when the container ends. The
//! images are mounted before all this, by the supervisor.
//!
//! The first two are bounded in time by [`prepare`], the others by what they wait for.
//!
//! | phase | looks up or makes |
//! |---|---|
//! | [`resolve`] | bind sources, persistent directory, resources, groups, network namespace |
//! | [`plan`] | detached mounts, pipes, console, sockets, seccomp programs: the two halves of the plan |
//! | [`arm`] | an init that is set up and parked |
//! | [`confine`] | the control group with its limits, meanwhile; then init is moved into it |
//! | [`exec`] | the program |

mod arm;
mod confine;
mod error;
mod exec;
mod forker;
mod guards;
mod host;
pub(crate) mod ids;
mod init;
mod network;
pub(crate) mod persist;
mod plan;
mod prepare;
mod ready;
mod resolve;
pub(crate) mod sockets;
mod watch;
mod wipe;

pub use error::{Error, Phase};
pub(crate) use forker::Forker;
pub(crate) use plan::Filters;
pub(crate) use prepare::Preparing;
pub use sockets::SocketError;
pub(crate) use watch::{Process, Report, Running};

use crate::{
    config::{ConnectionOptions, Missing, RepositoryId},
    console::Console,
    repository::InstalledPackage,
    supervisor::StartOverrides,
};
use northstar_sandbox::{cgroup::Hierarchy, plan::Rlimit};
use std::{collections::BTreeSet, os::fd::OwnedFd, path::PathBuf, sync::Arc};
use tokio_util::sync::CancellationToken;

/// What all launches need of the daemon.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) forker: Arc<Forker>,
    pub(crate) console: Console,
    pub(crate) console_options: ConnectionOptions,
    pub(crate) hierarchy: Hierarchy,
    /// The group of all containers, relative to the cgroup root.
    pub(crate) cgroup: PathBuf,
    pub(crate) socket_dir: PathBuf,
    pub(crate) store: persist::Store,
    pub(crate) preparing: Preparing,
    /// Repositories whose containers start without what is missing on the host.
    pub(crate) lenient: BTreeSet<RepositoryId>,
    /// System call lists that were compiled.
    pub(crate) filters: Filters,
    /// Ids for user namespaces.
    pub(crate) ids: ids::IdRanges,
    /// The limit of open descriptors that the daemon itself was started with.
    pub(crate) nofile: Rlimit,
}

impl Context {
    fn missing(&self, repository: &RepositoryId) -> Missing {
        if self.lenient.contains(repository) {
            Missing::Skip
        } else {
            Missing::Refuse
        }
    }
}

/// A start whose images are mounted.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) package: Arc<InstalledPackage>,
    /// The root of the container's image.
    pub(crate) root: OwnedFd,
    /// The roots of its resources, in the order of its mounts.
    pub(crate) resources: Vec<OwnedFd>,
    pub(crate) overrides: StartOverrides,
}

/// Starts a container. Ok means that its `execve` has happened.
///
/// If `cancel` fires, what was done is undone, as after any other failure.
pub(crate) async fn launch(
    context: Arc<Context>,
    request: Request,
    cancel: CancellationToken,
) -> Result<watch::Running, Error> {
    let container = request.package.container.clone();
    let work = {
        let context = Arc::clone(&context);
        let runtime = tokio::runtime::Handle::current();
        move |given_up: &CancellationToken| {
            // The readers of the pipes are tasks of the runtime.
            let _entered = runtime.enter();
            let resolved = resolve::resolve(&context, request)?;
            if given_up.is_cancelled() {
                return Err(Error::Cancelled);
            }
            plan::plan(&context, resolved)
        }
    };
    let planned = context
        .preparing
        .run(&container, prepare::PREPARE_LIMIT, &cancel, work)
        .await?;
    let armed = arm::arm(&context, planned, &cancel).await?;
    exec::exec(context, armed, &cancel).await
}
