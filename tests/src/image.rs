//! Images as no packer of this project makes them: device nodes, set-id bits, links to anywhere.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::programs;

/// Something in an image.
#[derive(Debug, Clone)]
pub enum Node {
    /// A directory with this mode.
    Directory(u32),
    /// A file with this content and mode.
    File(Vec<u8>, u32),
    /// The program of the test containers, with this mode.
    Program(u32),
    /// A symbolic link.
    Link(String),
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A character device.
    Character(u64, u64),
    /// A block device.
    Block(u64, u64),
}

impl Node {
    /// A file that anybody may read.
    #[must_use]
    pub fn file(content: &str) -> Self {
        Self::File(content.into(), 0o644)
    }

    /// A symbolic link.
    #[must_use]
    pub fn link(target: impl Into<String>) -> Self {
        Self::Link(target.into())
    }
}

/// The tree of an image; parents come into being by themselves.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    nodes: Vec<(String, Node)>,
    /// Paths that carry `cap_sys_admin=eip`.
    capable: Vec<String>,
}

impl Tree {
    /// The program of the test containers at `/test-container`, and the directories `/dev` and `/proc`.
    #[must_use]
    pub fn runnable() -> Self {
        Self::default()
            .with("/test-container", Node::Program(0o755))
            .with("/dev", Node::Directory(0o755))
            .with("/proc", Node::Directory(0o755))
    }

    /// Adds something; takes away what was there before.
    #[must_use]
    pub fn with(mut self, path: &str, node: Node) -> Self {
        self = self.without(path);
        self.nodes.push((path.to_owned(), node));
        self
    }

    /// Takes something away again.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        self.nodes.retain(|(other, _)| other != path);
        self
    }

    /// Gives a file the capability CAP_SYS_ADMIN, effective, inheritable and permitted.
    #[must_use]
    pub fn capable(mut self, path: &str) -> Self {
        self.capable.push(path.to_owned());
        self
    }

    /// The squashfs image, padded to whole blocks of 4096 bytes.
    ///
    /// # Panics
    /// If the tree cannot be made or packed; making device nodes needs root.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let work = tempfile::tempdir().expect("a temporary directory can be made");
        let root = work.path().join("root");
        fs::create_dir(&root).expect("the root can be made");
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).expect("root may do that");
        for (path, node) in &self.nodes {
            make(&root.join(path.trim_start_matches('/')), node);
        }
        for path in &self.capable {
            let path = root.join(path.trim_start_matches('/'));
            // vfs_cap_data of revision 2 with the effective flag: permitted and inheritable, each in two halves
            // (linux/capability.h). CAP_SYS_ADMIN is bit 21.
            let value = [
                0x0200_0001u32.to_le_bytes(),
                (1u32 << 21).to_le_bytes(),
                (1u32 << 21).to_le_bytes(),
                [0; 4],
                [0; 4],
            ];
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&path, "security.capability", &value.concat(), flags)
                .expect("root may give capabilities");
        }
        let image = work.path().join("image");
        squash(&root, &image);
        fs::read(&image).expect("the image can be read")
    }
}

fn make(path: &Path, node: &Node) {
    let parent = path.parent().expect("everything lies in a directory");
    fs::create_dir_all(parent).expect("parents can be made");
    let mode = |mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    let device = |kind, number| mknod(path, kind, Mode::from_bits_truncate(0o666), number);
    match node {
        Node::Directory(bits) => {
            fs::create_dir_all(path).expect("a directory can be made");
            mode(*bits).expect("root may do that");
        }
        Node::File(content, bits) => {
            fs::write(path, content).expect("a file can be written");
            mode(*bits).expect("root may do that");
        }
        Node::Program(bits) => {
            fs::copy(&programs().test_container, path).expect("the program can be copied");
            mode(*bits).expect("root may do that");
        }
        Node::Link(target) => symlink(target, path).expect("a link can be made"),
        Node::Fifo => device(SFlag::S_IFIFO, 0).expect("a pipe can be made"),
        Node::Socket => device(SFlag::S_IFSOCK, 0).expect("a socket can be made"),
        Node::Character(major, minor) => {
            device(SFlag::S_IFCHR, makedev(*major, *minor)).expect("root may do that")
        }
        Node::Block(major, minor) => {
            device(SFlag::S_IFBLK, makedev(*major, *minor)).expect("root may do that")
        }
    }
}

fn squash(root: &Path, image: &PathBuf) {
    let output = Command::new("mksquashfs")
        .arg(root)
        .arg(image)
        .args([
            "-noappend",
            "-no-progress",
            "-quiet",
            "-all-root",
            "-noI",
            "-noD",
            "-noF",
            "-noX",
        ])
        .output()
        .expect("mksquashfs runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "mksquashfs failed: {said}");
}
