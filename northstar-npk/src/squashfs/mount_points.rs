//! The mount points of a manifest.
//!
//! The image is mounted read-only, so whatever is to be mounted on has to be in it already. The
//! modes are those of the reference packer; while something is mounted they do not show.

use std::path::{Path, PathBuf};

use northstar_manifest::{Manifest, Mount};

use super::{Node, NodeKind, SquashfsError, Tree};

/// The device nodes a `dev` mount of 0.9.2 takes from the image. The daemon of this project makes
/// its own and never honours these.
const DEVICES: [(&str, u32, u32); 6] = [
    ("full", 1, 7),
    ("null", 1, 3),
    ("random", 1, 8),
    ("tty", 5, 0),
    ("urandom", 1, 9),
    ("zero", 1, 5),
];

/// The links next to them, which need `/proc`.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

impl Tree {
    /// Adds the mount points of `manifest`, with missing parents as directories of mode 0755.
    ///
    /// A directory of the tree stays as it is, as does a file, where a file can be mounted.
    pub(crate) fn add_mount_points(&mut self, manifest: &Manifest) -> Result<(), SquashfsError> {
        for (mount_point, mount) in &manifest.mounts {
            let path = relative(mount_point);
            self.add_parents(&path, |path| SquashfsError::MountPointParent {
                mount_point: mount_point.clone(),
                path,
            })?;
            let node = self
                .nodes
                .entry(path.clone())
                .or_insert_with(|| Node::added(mode(mount), NodeKind::Directory));
            match (&node.kind, mount) {
                (NodeKind::Directory, Mount::Dev) => self.add_devices(&path, has_proc(manifest)),
                (NodeKind::Directory, _) | (NodeKind::File(_), Mount::Bind { .. }) => {}
                _ => {
                    return Err(SquashfsError::MountPoint {
                        mount_point: mount_point.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Adds what is missing of the directories above `path`.
    pub(super) fn add_parents(
        &mut self,
        path: &Path,
        in_the_way: impl Fn(PathBuf) -> SquashfsError,
    ) -> Result<(), SquashfsError> {
        for parent in path.ancestors().skip(1) {
            let node = self
                .nodes
                .entry(parent.to_owned())
                .or_insert_with(|| Node::added(0o755, NodeKind::Directory));
            if node.kind != NodeKind::Directory {
                return Err(in_the_way(Path::new("/").join(parent)));
            }
        }
        Ok(())
    }

    fn add_devices(&mut self, directory: &Path, links: bool) {
        for (name, major, minor) in DEVICES {
            self.nodes
                .entry(directory.join(name))
                .or_insert(Node::added(
                    0o666,
                    NodeKind::CharacterDevice { major, minor },
                ));
        }
        for (name, target) in LINKS.into_iter().filter(|_| links) {
            self.nodes
                .entry(directory.join(name))
                .or_insert(Node::added(0o777, NodeKind::Symlink(target.into())));
        }
    }
}

fn relative(mount_point: &Path) -> PathBuf {
    mount_point
        .strip_prefix("/")
        .unwrap_or(mount_point)
        .to_owned()
}

fn has_proc(manifest: &Manifest) -> bool {
    manifest.mounts.get(Path::new("/proc")) == Some(&Mount::Proc)
}

fn mode(mount: &Mount) -> u16 {
    match mount {
        Mount::Bind { options, .. } if !options.rw => 0o555,
        Mount::Resource { .. } => 0o555,
        Mount::Proc | Mount::Sysfs => 0o444,
        Mount::Bind { .. } | Mount::Dev | Mount::Persist | Mount::Sockets | Mount::Tmpfs { .. } => {
            0o755
        }
    }
}
