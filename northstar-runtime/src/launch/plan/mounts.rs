//! The mounts of a container, each with the flags that its kind has and its manifest asks for.

use super::Descriptors;
use crate::launch::{
    Error,
    resolve::{Resolved, Source},
};
use northstar_manifest::{Mount, MountOptions};
use northstar_sandbox::{
    mount::clone_tree,
    plan::{ArmPlan, IdRange, MountFlags, MountKind, MountPlan, NetworkPlan},
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// Images: nothing on them can change anything but by being executed.
const IMAGE: MountFlags = MountFlags {
    read_only: true,
    nosuid: true,
    nodev: true,
    noexec: false,
    recursive: false,
};
/// Data that the container writes.
const DATA: MountFlags = MountFlags {
    read_only: false,
    nosuid: true,
    nodev: true,
    noexec: true,
    recursive: false,
};
/// What the kernel or the runtime shows.
const SHOWN: MountFlags = MountFlags {
    read_only: true,
    nosuid: true,
    nodev: true,
    noexec: true,
    recursive: false,
};
/// `/dev`: its nodes are to be opened.
const DEV: MountFlags = MountFlags {
    read_only: false,
    nosuid: true,
    nodev: false,
    noexec: true,
    recursive: false,
};
/// A tmpfs is everybody's in the container.
const TMPFS_MODE: u32 = 0o1777;

/// The first half of the plan, and the descriptors it names. Consumes what was opened for it.
pub(super) fn arm_plan(
    resolved: &mut Resolved,
    user: Option<IdRange>,
) -> Result<(ArmPlan, Descriptors), Error> {
    let mut descriptors = Descriptors::default();
    let root = clone(Path::new("/"), resolved.root.as_fd(), IMAGE)?;
    let root = descriptors.add(root);
    let network = match (&resolved.package.manifest.network, resolved.network.take()) {
        (_, Some(namespace)) => NetworkPlan::Join(descriptors.add(namespace)),
        (Some(northstar_manifest::Network::Host), None) => NetworkPlan::Host,
        (_, None) => NetworkPlan::Private,
    };
    let mut mounts = Vec::new();
    for (target, mount) in &resolved.package.manifest.mounts {
        let source = resolved.sources.get(target);
        if let Some((kind, flags)) = plan(target, mount, source, &mut descriptors)? {
            mounts.push(MountPlan {
                target: target.clone(),
                kind,
                flags,
            });
        }
    }
    // Init has clones of them by now.
    resolved.sources.clear();
    let plan = ArmPlan {
        hostname: None,
        user,
        network,
        root,
        root_flags: IMAGE,
        mounts,
    };
    Ok((plan, descriptors))
}

/// One mount. `None`: its source is missing and left out.
fn plan(
    target: &Path,
    mount: &Mount,
    source: Option<&Source>,
    descriptors: &mut Descriptors,
) -> Result<Option<(MountKind, MountFlags)>, Error> {
    let flags = match mount {
        Mount::Proc => return Ok(Some((MountKind::proc(), SHOWN))),
        Mount::Sysfs => return Ok(Some((MountKind::sysfs(), SHOWN))),
        Mount::Dev => return Ok(Some((MountKind::Dev, DEV))),
        Mount::Tmpfs { size } => {
            let kind = MountKind::Tmpfs {
                size: *size,
                mode: TMPFS_MODE,
                uid: 0,
                gid: 0,
            };
            return Ok(Some((kind, DATA)));
        }
        Mount::Persist => DATA,
        Mount::Sockets => SHOWN,
        Mount::Bind { options, .. } => bind(options),
        // No flag makes an image writable: better no container than one that finds out later.
        Mount::Resource { options, .. } if options.rw => {
            return Err(Error::WritableResource {
                target: target.to_owned(),
            });
        }
        Mount::Resource { options, .. } => MountFlags {
            noexec: options.noexec,
            ..IMAGE
        },
    };
    let Some(Source(source)) = source else {
        return Ok(None);
    };
    let mount = clone(target, source.as_fd(), flags)?;
    Ok(Some((MountKind::Attach(descriptors.add(mount)), flags)))
}

fn bind(options: &MountOptions) -> MountFlags {
    MountFlags {
        read_only: !options.rw,
        nosuid: options.nosuid,
        nodev: options.nodev,
        noexec: options.noexec,
        recursive: options.rec,
    }
}

fn clone(target: &Path, source: BorrowedFd<'_>, flags: MountFlags) -> Result<OwnedFd, Error> {
    clone_tree(source, flags).map_err(|source| Error::Prepare {
        target: target.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bind_is_read_only_unless_asked_otherwise() {
        let flags = |text: &str| bind(&text.parse().unwrap());
        assert_eq!(
            flags(""),
            MountFlags {
                read_only: true,
                ..MountFlags::default()
            }
        );
        assert_eq!(flags("rw"), MountFlags::default());
        assert_eq!(
            flags("rw,noexec,nosuid,nodev,rec"),
            MountFlags {
                read_only: false,
                nosuid: true,
                nodev: true,
                noexec: true,
                recursive: true
            }
        );
    }
}
