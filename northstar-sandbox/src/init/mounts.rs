//! Runs in init, after fork. The root and everything below it: parents first, every target
//! resolved inside the new root by descriptor, nothing ever created inside an image.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use northstar_sys::mount::{set_attributes, set_id_map};
use rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC};
use rustix::io::Errno;
use rustix::mount::MoveMountFlags;

use super::user::{UserNamespace, outside};
use super::{dev, fresh, mount_id, pick};
use crate::forker::CONTAINER;
use crate::mount::{detached, resolve};
use crate::plan::{ArmPlan, MountFlags, MountKind, MountPlan};
use crate::step::{At, Step, StepError};

/// A mount that was made, as mountinfo has to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) id: u64,
    /// Where the kernel says it is, seen from the container.
    pub(super) target: PathBuf,
    pub(super) flags: MountFlags,
    /// Whether its files have the ids of the user namespace.
    pub(super) id_mapped: bool,
}

/// Everything that was mounted.
#[derive(Debug)]
pub(super) struct Mounted {
    root: OwnedFd,
    mounts: Vec<Mount>,
}

impl Mounted {
    /// The root mount.
    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Every mount, the root included.
    pub(super) fn all(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter()
    }

    #[cfg(test)]
    pub(super) fn for_test(mounts: Vec<Mount>) -> Mounted {
        Mounted {
            root: std::fs::File::open("/").unwrap().into(),
            mounts,
        }
    }
}

/// Mounts the whole plan below [`CONTAINER`].
pub(super) fn mount_all(
    plan: &ArmPlan,
    descriptors: &[OwnedFd],
    procfs: &OwnedFd,
    user: Option<&UserNamespace>,
) -> Result<Mounted, StepError> {
    let mut builder = Builder::attach_root(plan, descriptors, procfs, user)?;
    let mut mounts = plan.mounts.iter().collect::<Vec<_>>();
    // Parents first: a parent has fewer components than everything below it.
    mounts.sort_by_key(|mount| mount.target.components().count());
    for mount in mounts {
        builder.mount(mount, descriptors)?;
    }
    Ok(Mounted {
        root: builder.root,
        mounts: builder.mounts,
    })
}

/// A procfs of this pid namespace that is mounted nowhere: init's handle, without anything but
/// the directories of processes.
pub(super) fn procfs() -> Result<OwnedFd, Errno> {
    any_procfs(&[("subset", "pid")])
}

fn any_procfs(options: &[(&str, &str)]) -> Result<OwnedFd, Errno> {
    let procfs = detached("proc", options)?;
    if rustix::fs::fstatfs(&procfs)?.f_type != PROC_SUPER_MAGIC {
        return Err(Errno::NOSYS);
    }
    Ok(procfs)
}

/// Most files in a tmpfs of `size` bytes. The kernel's default is a part of the machine's memory,
/// and what is no content, a file without any for instance, takes about 1 KiB of it and nothing of
/// the size.
pub(super) fn inodes(size: u64) -> u64 {
    const BYTES_PER_FILE: u64 = 1024;
    /// For small ones with many mount points.
    const AT_LEAST: u64 = 1024;
    /// More than any memory holds, and less than what the kernel refuses.
    const AT_MOST: u64 = 1 << 40;
    (size / BYTES_PER_FILE)
        .saturating_add(AT_LEAST)
        .min(AT_MOST)
}

/// A file system that init made for this container and that is still empty but for what init put
/// there: the only place where a missing mount point is created.
struct Fresh {
    target: PathBuf,
    root: OwnedFd,
}

/// Gives the files of a mount the ids of the user namespace. Tells whether there is one.
fn map_ids(
    user: Option<&UserNamespace>,
    mount: &OwnedFd,
    flags: MountFlags,
    target: &Path,
) -> Result<bool, StepError> {
    let Some(user) = user else { return Ok(false) };
    set_id_map(mount.as_fd(), flags.scope(), user.handle.as_fd())
        .at_detail(Step::IdMap, target.display())?;
    Ok(true)
}

pub(super) struct Builder<'a> {
    procfs: &'a OwnedFd,
    user: Option<&'a UserNamespace>,
    root: OwnedFd,
    mounts: Vec<Mount>,
    fresh: Vec<Fresh>,
}

impl<'a> Builder<'a> {
    fn attach_root(
        plan: &ArmPlan,
        descriptors: &[OwnedFd],
        procfs: &'a OwnedFd,
        user: Option<&'a UserNamespace>,
    ) -> Result<Builder<'a>, StepError> {
        let image = pick(descriptors, plan.root, Step::Root)?;
        let root = rustix::io::fcntl_dupfd_cloexec(image, 3).at(Step::Root)?;
        set_attributes(
            root.as_fd(),
            plan.root_flags.scope(),
            plan.root_flags.attributes(),
        )
        .at(Step::Root)?;
        let id_mapped = map_ids(user, &root, plan.root_flags, Path::new("/"))?;
        rustix::mount::move_mount(
            &root,
            c"",
            CWD,
            CONTAINER,
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )
        .at(Step::Root)?;
        let mount = Mount {
            id: mount_id(&root).at(Step::Root)?,
            target: PathBuf::from("/"),
            flags: plan.root_flags,
            id_mapped,
        };
        Ok(Builder {
            procfs,
            user,
            root,
            mounts: vec![mount],
            fresh: Vec::new(),
        })
    }

    fn mount(&mut self, plan: &MountPlan, descriptors: &[OwnedFd]) -> Result<(), StepError> {
        let detail = || plan.target.display();
        let source = match &plan.kind {
            MountKind::Attach(index) => {
                let source = pick(descriptors, *index, Step::Mount)?;
                rustix::io::fcntl_dupfd_cloexec(source, 3)
            }
            made => self.make(made),
        }
        .at_detail(Step::Mount, detail())?;
        // What init makes has owners of the user namespace from the start: init could create no
        // mount points in it as user 0, which the map knows nothing of.
        let id_mapped = match plan.kind {
            MountKind::Attach(_) => map_ids(self.user, &source, plan.flags, &plan.target)?,
            _ => false,
        };

        let target = self
            .target(plan, &source)
            .at_detail(Step::Mount, detail())?;
        self.attach(&source, &target, plan.flags, id_mapped)
            .at_detail(Step::Mount, detail())?;

        match &plan.kind {
            MountKind::Proc { masked } | MountKind::Sysfs { masked } => {
                self.mask(&source, masked, &plan.target)
            }
            MountKind::Dev => self
                .furnish_dev(&source, &plan.target)
                .at_detail(Step::Mount, detail()),
            MountKind::Attach(_) | MountKind::Tmpfs { .. } => Ok(()),
        }?;
        if plan.kind.is_fresh() {
            self.fresh.push(Fresh {
                target: plan.target.clone(),
                root: source,
            });
        }
        Ok(())
    }

    /// A new file system.
    fn make(&self, kind: &MountKind) -> Result<OwnedFd, Errno> {
        match kind {
            MountKind::Attach(_) => Err(Errno::INVAL),
            // Not the handle, which stays writable, shows processes only and is closed before the
            // program runs; and not a clone of it, because a detached mount can be cloned from
            // Linux 6.15 on only.
            MountKind::Proc { .. } => any_procfs(&[]),
            MountKind::Sysfs { .. } => detached("sysfs", &[]),
            MountKind::Tmpfs {
                size,
                mode,
                uid,
                gid,
            } => {
                let (uid, gid) = (outside(self.user, *uid)?, outside(self.user, *gid)?);
                let options = [
                    ("size", size.to_string()),
                    ("nr_inodes", inodes(*size).to_string()),
                    ("mode", format!("{mode:o}")),
                    ("uid", uid.to_string()),
                    ("gid", gid.to_string()),
                ];
                let options = options
                    .each_ref()
                    .map(|(key, value)| (*key, value.as_str()));
                detached("tmpfs", &options)
            }
            MountKind::Dev => dev::create(self.user),
        }
    }

    /// Resolves the mount point inside the root, creating it where that is init's business.
    fn target(&self, plan: &MountPlan, source: &OwnedFd) -> Result<OwnedFd, Errno> {
        if !plan.target.is_absolute() {
            return Err(Errno::INVAL);
        }
        match resolve(self.root.as_fd(), &plan.target) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let covering = self
            .fresh
            .iter()
            .filter_map(|fresh| Some((fresh, plan.target.strip_prefix(&fresh.target).ok()?)))
            .max_by_key(|(fresh, _)| fresh.target.components().count());
        let Some((fresh, inside)) = covering else {
            return Err(Errno::NOENT);
        };
        fresh::create(&fresh.root, inside, source, outside(self.user, 0)?)?;
        resolve(self.root.as_fd(), &plan.target)
    }

    /// Gives a detached mount its flags, attaches it and notes where the kernel put it.
    pub(super) fn attach(
        &mut self,
        source: &OwnedFd,
        target: &OwnedFd,
        flags: MountFlags,
        id_mapped: bool,
    ) -> Result<(), Errno> {
        // Before it can be seen: there is no moment in which a flag is missing.
        set_attributes(source.as_fd(), flags.scope(), flags.attributes())
            .map_err(|error| Errno::from_raw_os_error(error.errno()))?;
        let place = self.place(target)?;
        if self.mounts.iter().any(|mount| mount.target == place) {
            return Err(Errno::BUSY);
        }
        rustix::mount::move_mount(
            source,
            c"",
            target,
            c"",
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
        )?;
        self.mounts.push(Mount {
            id: mount_id(source)?,
            target: place,
            flags,
            id_mapped,
        });
        Ok(())
    }

    /// Where the kernel says a descriptor is, seen from the container.
    fn place(&self, target: &OwnedFd) -> Result<PathBuf, Errno> {
        use std::os::fd::AsRawFd;
        let link = format!("self/fd/{}", target.as_raw_fd());
        let path = rustix::fs::readlinkat(self.procfs, link, Vec::new())?;
        let path = PathBuf::from(std::ffi::OsString::from_vec(path.into_bytes()));
        match path.strip_prefix(CONTAINER) {
            // Nothing is mounted on the root a second time.
            Ok(inside) if inside == Path::new("") => Err(Errno::BUSY),
            Ok(inside) => Ok(Path::new("/").join(inside)),
            Err(_) => Err(Errno::XDEV),
        }
    }

    fn furnish_dev(&mut self, root: &OwnedFd, at: &Path) -> Result<(), Errno> {
        for (name, source, flags) in dev::mounts(self.user)? {
            let flags_open = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let target = rustix::fs::openat(root, name, flags_open, Mode::empty())?;
            self.attach(&source, &target, flags, false)?;
            // Nothing can be created in the other one, terminals.
            self.fresh.push(Fresh {
                target: at.join(name),
                root: source,
            });
        }
        Ok(())
    }
}
