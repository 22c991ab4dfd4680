//! The guest's first file system: busybox, init.sh and the modules it loads, about 8 MiB.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::kernel::Kernel;

const BUSYBOX: &str = "/bin/busybox";

/// Packs the archive and returns its path. It takes less time than finding out whether it is needed.
///
/// # Errors
/// busybox, cpio or a module is missing, or files cannot be written.
pub fn build(kernel: &Kernel, scratch: &Path) -> Result<PathBuf> {
    let tree = tempfile::tempdir_in(scratch)?;
    let root = tree.path();
    for folder in ["bin", "dev", "proc", "sys", "root", "modules"] {
        fs::create_dir(root.join(folder))?;
    }
    fs::copy(BUSYBOX, root.join("bin/busybox"))
        .with_context(|| format!("cannot copy {BUSYBOX}"))?;
    let init = root.join("init");
    fs::write(&init, include_str!("init.sh"))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let mut load = String::new();
    for module in kernel.load_order()? {
        let path = kernel.modules().join(&module);
        let name = path
            .file_name()
            .with_context(|| format!("{module} is no file"))?;
        fs::copy(&path, root.join("modules").join(name))
            .with_context(|| format!("cannot copy {}", path.display()))?;
        load.push_str(&name.to_string_lossy());
        load.push('\n');
    }
    fs::write(root.join("modules/load"), load)?;

    // Under a name of its own until complete: guests may be started at the same time.
    let mut archive = tempfile::NamedTempFile::new_in(scratch)?;
    pack(root, archive.as_file_mut())?;
    let path = scratch.join(format!("initramfs-{}", kernel.release()));
    archive
        .persist(&path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path)
}

fn pack(root: &Path, archive: &mut File) -> Result<()> {
    let mut cpio = Command::new("cpio")
        .args([
            "--quiet",
            "--create",
            "--format=newc",
            "--owner=0:0",
            "--null",
        ])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(archive.try_clone()?)
        .spawn()
        .context("cannot run cpio")?;
    let mut list = cpio.stdin.take().context("cpio has no stdin")?;
    for path in list_tree(root, Path::new(""))? {
        list.write_all(path.as_os_str().as_encoded_bytes())?;
        list.write_all(&[0])?;
    }
    drop(list);
    let status = cpio.wait()?;
    if !status.success() {
        bail!("cpio failed: {status}");
    }
    Ok(())
}

/// All paths below `root`, relative to it, folders before what is in them.
fn list_tree(root: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        paths.push(path.clone());
        if entry.file_type()?.is_dir() {
            paths.extend(list_tree(root, &path)?);
        }
    }
    Ok(paths)
}
