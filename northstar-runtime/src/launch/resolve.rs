//! First phase: everything that a manifest names is looked up, so that what follows works with descriptors and
//! numbers only.

use super::{
    Context, Error, Request, host,
    sockets::{self, SocketError},
};
use crate::{config::Missing, repository::InstalledPackage, supervisor::StartOverrides};
use northstar_manifest::Mount;
use northstar_sandbox::mount::open_beneath;
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A launch whose every name is looked up.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) package: Arc<InstalledPackage>,
    pub(super) overrides: StartOverrides,
    /// The root of the mounted image.
    pub(super) root: OwnedFd,
    /// What the mounts that have a source are made from, by mount point.
    pub(super) sources: BTreeMap<PathBuf, Source>,
    /// The network namespace to join.
    pub(super) network: Option<OwnedFd>,
    /// Numbers of the supplementary groups.
    pub(super) groups: Vec<u32>,
    /// What is missing on the host and left out.
    pub(super) skipped: Vec<String>,
}

/// What a mount is made from: a directory or file, opened with `O_PATH`.
#[derive(Debug)]
pub(super) struct Source(pub(super) OwnedFd);

/// Looks everything up. Blocks.
pub(super) fn resolve(context: &Context, request: Request) -> Result<Resolved, Error> {
    let Request {
        package,
        root,
        resources,
        overrides,
    } = request;
    let manifest = Arc::clone(&package.manifest);
    let missing = context.missing(&package.repository);
    let mut resolved = Resolved {
        package,
        overrides,
        root,
        sources: BTreeMap::new(),
        network: None,
        groups: Vec::new(),
        skipped: Vec::new(),
    };
    let mut resources = resources.into_iter();
    for (target, mount) in &manifest.mounts {
        let source = match mount {
            Mount::Bind { host, .. } => host::bind_source(target, host, missing)?,
            Mount::Persist => Some(persist(context, &resolved.package)?),
            Mount::Sockets => Some(shown_sockets(context)?),
            // In the order in which the needs were collected from the same manifest.
            Mount::Resource { dir, .. } => match resources.next() {
                Some(root) => Some(resource(target, root, dir)?),
                None => None,
            },
            Mount::Dev | Mount::Proc | Mount::Sysfs | Mount::Tmpfs { .. } => continue,
        };
        match source {
            Some(source) => {
                resolved.sources.insert(target.clone(), Source(source));
            }
            None => resolved.skipped.push(format!("mount {}", target.display())),
        }
    }
    resolved.groups(&manifest.suppl_groups, missing)?;
    if let Some(northstar_manifest::Network::Namespace(name)) = &manifest.network {
        resolved.network = Some(host::network_namespace(name)?);
    }
    Ok(resolved)
}

impl Resolved {
    fn groups(&mut self, names: &[String], missing: Missing) -> Result<(), Error> {
        for name in names {
            match host::group(name, missing)? {
                Some(group) => self.groups.push(group),
                None => self.skipped.push(format!("group {name}")),
            }
        }
        Ok(())
    }
}

fn persist(context: &Context, package: &InstalledPackage) -> Result<OwnedFd, Error> {
    let manifest = &package.manifest;
    let name = &manifest.name;
    let opened = context
        .store
        .open(&package.repository, name, manifest.uid, manifest.gid);
    opened.map_err(|source| {
        let path = context.store.path(&package.repository, name);
        Error::Persist { path, source }
    })
}

fn shown_sockets(context: &Context) -> Result<OwnedFd, Error> {
    sockets::all(&context.socket_dir).map_err(|source| {
        Error::Socket(SocketError {
            path: context.socket_dir.clone(),
            source,
        })
    })
}

fn resource(target: &Path, root: OwnedFd, dir: &Path) -> Result<OwnedFd, Error> {
    open_beneath(root.as_fd(), dir).map_err(|source| Error::Prepare {
        target: target.to_owned(),
        source,
    })
}
