//! Second phase: from what was looked up to the plans of the sandbox, with everything that travels with them.

mod cgroup;
mod filters;
mod mounts;
mod process;

pub(crate) use filters::Filters;

use super::{
    Context, Error,
    ids::Lease,
    network::{self, Network},
    resolve::Resolved,
    sockets::{Names, Sockets},
};
use crate::{
    logs::{Readers, Stream},
    repository::InstalledPackage,
};
use northstar_manifest::{Manifest, Output};
use northstar_sandbox::{
    cgroup::CgroupPlan,
    plan::{ArmPlan, DescriptorIndex, ExecPlan},
};
use std::{
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    sync::Arc,
};

/// A launch that is written down completely. Dropping it closes and removes what was made for it.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) package: Arc<InstalledPackage>,
    pub(super) skipped: Vec<String>,
    pub(super) arm: (ArmPlan, Descriptors),
    pub(super) exec: (ExecPlan, Descriptors),
    pub(super) cgroup: GroupPlan,
    pub(super) attachments: Attachments,
}

/// The control group to be made.
#[derive(Debug)]
pub(super) struct GroupPlan {
    /// Relative to the cgroup root.
    pub(super) path: PathBuf,
    pub(super) limits: CgroupPlan,
    /// Memory events are to be told.
    pub(super) monitor_memory: bool,
}

/// What the daemon holds of a container beside its process.
#[derive(Debug)]
pub(super) struct Attachments {
    pub(super) readers: Readers,
    /// The daemon's end of the container's console.
    pub(super) console: Option<UnixStream>,
    pub(super) sockets: Names,
    /// The ids of its user namespace.
    pub(super) ids: Option<Lease>,
}

/// The descriptors that travel with a plan. They are closed here as soon as init has its own.
#[derive(Debug, Default)]
pub(super) struct Descriptors(Vec<OwnedFd>);

impl Descriptors {
    /// Adds a descriptor; the plan names it by the index.
    fn add(&mut self, descriptor: OwnedFd) -> DescriptorIndex {
        // The sandbox refuses lists that are longer than the index can count.
        let index = u16::try_from(self.0.len()).unwrap_or(u16::MAX);
        self.0.push(descriptor);
        DescriptorIndex(index)
    }

    pub(super) fn as_slice(&self) -> &[OwnedFd] {
        &self.0
    }
}

/// Writes the plan. Must be called within the tokio runtime. Blocks.
pub(super) fn plan(context: &Context, mut resolved: Resolved) -> Result<Planned, Error> {
    let package = Arc::clone(&resolved.package);
    let (container, manifest) = (&package.container, &package.manifest);
    let cgroup = GroupPlan {
        path: cgroup::path(&context.cgroup, manifest)?,
        limits: cgroup::plan(&resolved),
        monitor_memory: cgroup::monitors_memory(manifest),
    };
    let ids = user_namespace(context, manifest)?;
    let mut gifts = process::Gifts::default();
    let (made, network) = sockets(context, &package, &resolved)?;
    let (console, Sockets { descriptors, names }) = made;
    let (ours, theirs) = console.unzip();
    gifts.console = theirs.map(OwnedFd::from);
    gifts.sockets = descriptors;
    // A network that belongs to a user namespace is made with that.
    if ids.is_none() {
        resolved.network = resolved.network.or(network);
    }
    let arm = mounts::arm_plan(&mut resolved, ids.as_ref().map(Lease::ids))?;

    let mut readers = Readers::default();
    let io = manifest.io.clone().unwrap_or_default();
    let mut open = |stream, output| match output {
        Output::Discard => Ok(None),
        Output::Pipe => readers.log(container, stream).map(Some),
        Output::Inherit => readers.inherit(stream).map(Some),
    };
    gifts.stdout = open(Stream::Stdout, io.stdout).map_err(Error::Output)?;
    gifts.stderr = open(Stream::Stderr, io.stderr).map_err(Error::Output)?;

    let exec = process::exec_plan(
        container,
        manifest,
        resolved.overrides,
        resolved.groups,
        context.nofile,
        context.filters.programs(manifest)?.to_vec(),
        gifts,
    )?;
    let attachments = Attachments {
        readers,
        console: ours,
        sockets: names,
        ids,
    };
    Ok(Planned {
        package,
        skipped: resolved.skipped,
        arm,
        exec,
        cgroup,
        attachments,
    })
}

/// Both ends of the container's console.
type Console = Option<(UnixStream, UnixStream)>;

/// Makes the console and the sockets of the manifest, in the network namespace of the container. If it is to have one of
/// its own, that is made here and returned. A container with a user namespace gets another one, because that belongs to
/// the user namespace; nobody is in the one of its sockets.
fn sockets(
    context: &Context,
    package: &InstalledPackage,
    resolved: &Resolved,
) -> Result<((Console, Sockets), Option<OwnedFd>), Error> {
    let (container, manifest) = (&package.container, &package.manifest);
    let none = manifest.console.is_none() && manifest.sockets.is_empty();
    let network = match (&manifest.network, &resolved.network) {
        // There is nothing to make.
        _ if none => Network::Host,
        (_, Some(namespace)) => Network::Existing(namespace.as_fd()),
        (Some(northstar_manifest::Network::Host), None) => Network::Host,
        (_, None) => Network::New,
    };
    network::inside(network, || {
        let pair = manifest.console.is_some().then(UnixStream::pair);
        let pair = pair.transpose().map_err(Error::Console)?;
        let owner = (manifest.uid, manifest.gid);
        let sockets = Sockets::bind(&context.socket_dir, container, owner, &manifest.sockets);
        Ok((pair, sockets.map_err(Error::Socket)?))
    })
}

/// Ids for the user namespace that the manifest asks for.
fn user_namespace(context: &Context, manifest: &Manifest) -> Result<Option<Lease>, Error> {
    if !manifest.userns {
        return Ok(None);
    }
    // A group of the host has no id in there, so it would give no access.
    if let Some(name) = manifest.suppl_groups.first() {
        return Err(Error::GroupInUserNamespace { name: name.clone() });
    }
    let lease = context.ids.take()?;
    let count = lease.ids().count;
    match [manifest.uid, manifest.gid]
        .into_iter()
        .find(|id| *id >= count)
    {
        Some(id) => Err(Error::IdBeyondUserNamespace { id, count }),
        None => Ok(Some(lease)),
    }
}
