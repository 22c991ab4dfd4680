//! The root directory of containers: busybox, the probe, and places to mount on.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root directory, removed at the end by the process that made it.
pub enum Root {
    Own(tempfile::TempDir),
    Borrowed(PathBuf),
}

impl Root {
    pub fn path(&self) -> &Path {
        match self {
            Root::Own(directory) => directory.path(),
            Root::Borrowed(path) => path,
        }
    }
}

pub fn build_root(root: &Path) {
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    for directory in [
        "bin",
        "proc",
        "sys",
        "dev",
        "tmp",
        "data",
        "other",
        "data/sub",
        "etc",
        "real/inner",
    ] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
    let busybox = busybox.iter().find(|path| path.exists());
    let busybox = busybox.expect("these tests need the package busybox-static");
    fs::copy(busybox, root.join("bin/busybox")).unwrap();
    for applet in [
        "sh", "cat", "ls", "id", "sleep", "stat", "readlink", "kill", "head", "env",
    ] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    build_probe(&root.join("bin/probe"));
    symlink("/real", root.join("link")).unwrap();
    symlink("../../../../..", root.join("out")).unwrap();
    fs::write(root.join("data/file"), "file").unwrap();
}

fn build_probe(to: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/containers/probe.c");
    let status = Command::new("cc")
        .args(["-static", "-O1", "-Wall", "-Werror", "-o"])
        .arg(to)
        .arg(source)
        .status()
        .expect("these tests need a C compiler: packages gcc, libc6-dev");
    assert!(status.success(), "the probe does not compile");
}
