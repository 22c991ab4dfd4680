//! What has to be done before there are threads: directories, the lock on the run directory, clean-up behind a dead
//! predecessor, the mount namespace, the forker.

use crate::{
    config::Config,
    daemon::{MountNamespace, RunError},
    launch::sockets,
    storage::{Reaped, reap_stale},
    supervisor::report,
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::resource::{Resource, getrlimit, setrlimit},
};
use northstar_sandbox::{
    cgroup::{Controller, Hierarchy, TopGroup},
    plan::{Rlimit, RlimitKind},
};
use std::{
    fs::DirBuilder,
    io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
};
use tracing::{info, warn};

/// What is there when the threads start.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The run directory, absolute.
    pub(crate) run_dir: PathBuf,
    pub(crate) hierarchy: Hierarchy,
    /// The limit of open descriptors that the daemon was started with.
    pub(crate) nofile: Rlimit,
    pub(crate) forker: northstar_sandbox::Forker,
}

/// What is given back at the very end.
#[derive(Debug)]
pub(crate) struct Claimed {
    /// The group of all containers. Nobody else uses it as long as this lives.
    top: TopGroup,
    /// Nobody else uses the run directory as long as it is open.
    _lock: OwnedFd,
}

impl Claimed {
    /// Removes the group, if it was made by this daemon or by one that was killed.
    pub(crate) fn release(self) {
        let path = self.top.path().to_owned();
        if let Err(error) = self.top.remove() {
            warn!("cgroup {}: {}", path.display(), report(&error));
        }
    }
}

/// Prepares everything, in this order: what is another daemon's is not touched before it is known that there is none.
pub(crate) fn prepare(
    config: &Config,
    namespace: MountNamespace,
) -> Result<(Prepared, Claimed), RunError> {
    let run_dir = directories(config)?;
    let lock = clean_up(&run_dir)?;
    let hierarchy = Hierarchy::detect().map_err(RunError::Cgroup)?;
    for missing in hierarchy.missing() {
        let default = match missing {
            Controller::Pids => "the limit of processes is off, ",
            Controller::Devices => "the list of devices is off, ",
            _ => "",
        };
        warn!("no cgroup controller {missing}: {default}containers that ask for it will not start");
    }
    let claimed = Claimed {
        top: top_group(&hierarchy, &config.cgroup)?,
        _lock: lock,
    };
    let fork = || {
        sockets::reset(&config.socket_dir).map_err(directory(&config.socket_dir))?;
        if namespace == MountNamespace::Own {
            mount_namespace().map_err(RunError::MountNamespace)?;
        }
        let nofile = raise_descriptor_limit().map_err(RunError::Descriptors)?;
        let forker = northstar_sandbox::Forker::spawn().map_err(RunError::Forker)?;
        Ok((nofile, forker))
    };
    match fork() {
        Ok((nofile, forker)) => Ok((
            Prepared {
                run_dir,
                hierarchy,
                nofile,
                forker,
            },
            claimed,
        )),
        Err(error) => {
            claimed.release();
            Err(error)
        }
    }
}

/// Makes the directories, for nobody else to look into. Returns the run directory's absolute path, which is the same
/// in every working directory.
fn directories(config: &Config) -> Result<PathBuf, RunError> {
    // Names in the run directory may be used, because sockets are there; each says itself who may connect.
    let modes = [
        (&config.run_dir, 0o711),
        (&config.data_dir, 0o700),
        (&config.log_dir, 0o700),
        (&config.socket_dir, 0o755),
    ];
    for (path, mode) in modes {
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(mode)
            .create(path)
            .map_err(directory(path))?;
    }
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

/// Makes the group of all containers, which no other living daemon has then, and removes what a dead one left in it.
fn top_group(hierarchy: &Hierarchy, path: &Path) -> Result<TopGroup, RunError> {
    let top = TopGroup::create(hierarchy, path).map_err(RunError::Cgroup)?;
    if let Err(error) = top.clear() {
        warn!("clean-up behind a dead daemon: {}", report(&error));
    }
    Ok(top)
}

/// A mount namespace that the host sees nothing of. It still follows the host: a disk that is unmounted there is not
/// kept busy here, and network namespaces that appear there appear here.
fn mount_namespace() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?;
    Ok(())
}

/// The daemon and the forker hold descriptors for every container; the containers themselves get the limit that the
/// daemon was started with, which is returned.
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
