//! Runs in init, after fork. The root and everything below it: parents first, every target
//! resolved inside the new root by descriptor, nothing ever created inside an image.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use northstar_sys::mount::set_attributes;
use rustix::fs::{CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags};

use super::{dev, mount_id, pick};
use crate::forker::{CONTAINER, EMPTY_DIRECTORY, EMPTY_FILE};
use crate::mount::{clone_detached, resolve};
use crate::plan::{ArmPlan, MountFlags, MountKind, MountPlan};
use crate::step::{At, Step, StepError};

/// A mount that was made, as mountinfo has to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) id: u64,
    /// Where the kernel says it is, seen from the container.
    pub(super) target: PathBuf,
    pub(super) flags: MountFlags,
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
) -> Result<Mounted, StepError> {
    let mut builder = Builder::attach_root(plan, descriptors, procfs)?;
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

/// A procfs of this pid namespace that is mounted nowhere.
pub(super) fn procfs() -> Result<OwnedFd, Errno> {
    let procfs = detached("proc", &[], MountAttrFlags::empty())?;
    if rustix::fs::fstatfs(&procfs)?.f_type != PROC_SUPER_MAGIC {
        return Err(Errno::NOSYS);
    }
    Ok(procfs)
}

/// A new file system instance, mounted nowhere yet.
pub(super) fn detached(
    name: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, "source", name)?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(&context, *key, *value)?;
    }
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A file system that init made for this container and that is still empty but for what init put
/// there: the only place where a missing mount point is created.
struct Fresh {
    target: PathBuf,
    root: OwnedFd,
}

struct Builder<'a> {
    procfs: &'a OwnedFd,
    root: OwnedFd,
    mounts: Vec<Mount>,
    fresh: Vec<Fresh>,
}

impl<'a> Builder<'a> {
    fn attach_root(
        plan: &ArmPlan,
        descriptors: &[OwnedFd],
        procfs: &'a OwnedFd,
    ) -> Result<Builder<'a>, StepError> {
        let image = pick(descriptors, plan.root, Step::Root)?;
        let root = rustix::io::fcntl_dupfd_cloexec(image, 3).at(Step::Root)?;
        set_attributes(
            root.as_fd(),
            plan.root_flags.scope(),
            plan.root_flags.attributes(),
        )
        .at(Step::Root)?;
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
        };
        Ok(Builder {
            procfs,
            root,
            mounts: vec![mount],
            fresh: Vec::new(),
        })
    }

    fn mount(&mut self, plan: &MountPlan, descriptors: &[OwnedFd]) -> Result<(), StepError> {
        let detail = || plan.target.display();
        let none = MountAttrFlags::empty();
        let source = match &plan.kind {
            MountKind::Attach(index) => {
                let source = pick(descriptors, *index, Step::Mount)?;
                rustix::io::fcntl_dupfd_cloexec(source, 3)
            }
            // The handle stays writable for init; what the container sees is a second mount of it.
            MountKind::Proc { .. } => clone_detached(self.procfs.as_fd(), false),
            MountKind::Sysfs { .. } => detached("sysfs", &[], none),
            MountKind::Tmpfs {
                size,
                mode,
                uid,
                gid,
            } => detached(
                "tmpfs",
                &[
                    ("size", size.to_string().as_str()),
                    ("mode", format!("{mode:o}").as_str()),
                    ("uid", uid.to_string().as_str()),
                    ("gid", gid.to_string().as_str()),
                ],
                none,
            ),
            MountKind::Dev => dev::create(),
        }
        .at_detail(Step::Mount, detail())?;

        let target = self
            .target(plan, &source)
            .at_detail(Step::Mount, detail())?;
        self.attach(&source, &target, plan.flags)
            .at_detail(Step::Mount, detail())?;

        match &plan.kind {
            MountKind::Proc { masked } | MountKind::Sysfs { masked } => {
                self.mask(&source, masked, &plan.target)
            }
            MountKind::Dev => self.furnish_dev(&source).at_detail(Step::Mount, detail()),
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
        create(&fresh.root, inside, source)?;
        resolve(self.root.as_fd(), &plan.target)
    }

    /// Gives a detached mount its flags, attaches it and notes where the kernel put it.
    fn attach(
        &mut self,
        source: &OwnedFd,
        target: &OwnedFd,
        flags: MountFlags,
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

    /// Hides entries of a procfs or sysfs behind something empty of the stage. The entry is looked
    /// up in the file system itself; nothing of the image takes part.
    fn mask(
        &mut self,
        filesystem: &OwnedFd,
        masked: &[PathBuf],
        target: &Path,
    ) -> Result<(), StepError> {
        for path in masked {
            let detail = target.join(path);
            match self.mask_one(filesystem, path) {
                // Not every kernel has every entry.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error).at_detail(Step::Mask, detail.display()),
            }
        }
        Ok(())
    }

    fn mask_one(&mut self, filesystem: &OwnedFd, path: &Path) -> Result<(), Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = rustix::fs::openat2(filesystem, path, flags, Mode::empty(), resolve)?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&entry)?.st_mode);
        let cover = match kind {
            FileType::Directory => EMPTY_DIRECTORY,
            _ => EMPTY_FILE,
        };
        let cover = rustix::fs::open(cover, flags, Mode::empty())?;
        let found = rustix::fs::fstat(&cover)?;
        let covers = FileType::from_raw_mode(found.st_mode);
        if (covers == FileType::Directory) != (kind == FileType::Directory)
            || (covers == FileType::RegularFile && found.st_size != 0)
        {
            return Err(Errno::IO);
        }
        let cover = clone_detached(cover.as_fd(), false)?;
        let flags = MountFlags {
            read_only: true,
            nosuid: true,
            nodev: true,
            noexec: true,
            recursive: false,
        };
        self.attach(&cover, &entry, flags)
    }

    fn furnish_dev(&mut self, root: &OwnedFd) -> Result<(), Errno> {
        for (name, source, flags) in dev::mounts()? {
            let flags_open = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let target = rustix::fs::openat(root, name, flags_open, Mode::empty())?;
            self.attach(&source, &target, flags)?;
        }
        Ok(())
    }
}

/// Creates the mount point `path` in a fresh file system: directories on the way, and at the end
/// what `source` can be mounted on.
fn create(root: &OwnedFd, path: &Path, source: &OwnedFd) -> Result<(), Errno> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(source)?.st_mode);
    let masked = rustix::process::umask(Mode::empty());
    let created = create_inside(root, path, kind);
    rustix::process::umask(masked);
    created
}

fn create_inside(root: &OwnedFd, path: &Path, kind: FileType) -> Result<(), Errno> {
    let mut directory = rustix::io::fcntl_dupfd_cloexec(root, 3)?;
    let mut names = path.components().peekable();
    while let Some(name) = names.next() {
        let std::path::Component::Normal(name) = name else {
            return Err(Errno::INVAL);
        };
        let last = names.peek().is_none();
        let made = if last && kind != FileType::Directory {
            rustix::fs::mknodat(
                &directory,
                name,
                FileType::RegularFile,
                Mode::from_raw_mode(0o644),
                0,
            )
        } else {
            rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o755))
        };
        match made {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        if !last {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
            directory = rustix::fs::openat(&directory, name, flags, Mode::empty())?;
        }
    }
    Ok(())
}
