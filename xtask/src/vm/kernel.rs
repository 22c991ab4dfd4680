//! The guest's kernel: the Debian package, unpacked below the target directory and never installed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow};

use crate::{packages, process};

/// Debian's package that depends on the newest kernel of the release.
const META_PACKAGE: &str = "linux-image-amd64";

/// The modules the guest loads, in this order; what they depend on comes on its own.
const MODULES: &[&str] = &[
    // Others look for its algorithm when they are loaded, which modules.dep does not know.
    "crc32c_generic",
    // To reach the host.
    "virtio_pci",
    "virtio_console",
    "virtio_rng",
    "9pnet_virtio",
    "9p",
    "overlay",
    // What the daemon and its tests need.
    "loop",
    "dm_mod",
    "dm_verity",
    "dm_flakey",
    "squashfs",
    "erofs",
    "veth",
    "bfq",
];

/// An unpacked kernel package.
#[derive(Debug, Clone)]
pub struct Kernel {
    root: PathBuf,
    release: String,
}

impl Kernel {
    /// Takes the kernel of an earlier run, else downloads the newest one.
    ///
    /// # Errors
    /// apt or dpkg fail, or the package has no kernel in it.
    pub fn fetch(scratch: &Path) -> Result<Self> {
        let root = scratch.join("kernel");
        if !root.exists() {
            let download = tempfile::tempdir_in(scratch)?;
            let unpacked = download.path().join("kernel");
            unpack_newest(download.path(), &unpacked)?;
            process::run_quietly(
                Command::new(depmod())
                    .arg("-b")
                    .arg(&unpacked)
                    .arg(release_of(&unpacked)?),
            )?;
            // The folder appears under its name only when everything in it is complete.
            fs::rename(&unpacked, &root)
                .with_context(|| format!("cannot create {}", root.display()))?;
        }
        let release = release_of(&root)?;
        Ok(Self { root, release })
    }

    /// The kernel image.
    pub fn image(&self) -> PathBuf {
        self.root
            .join("boot")
            .join(format!("vmlinuz-{}", self.release))
    }

    /// The name of the release, as `uname -r` in the guest will say.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The folder of all modules.
    pub fn modules(&self) -> PathBuf {
        self.root.join("lib/modules").join(&self.release)
    }

    /// The module files to load, in this order, relative to [`Kernel::modules`].
    ///
    /// # Errors
    /// `modules.dep` is unreadable or lacks a module.
    pub fn load_order(&self) -> Result<Vec<String>> {
        let folder = self.modules();
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        resolve(&read("modules.dep")?, &read("modules.builtin")?, MODULES)
    }
}

fn unpack_newest(download: &Path, unpacked: &Path) -> Result<()> {
    let package = match newest() {
        Ok(package) => package,
        Err(_) => {
            packages::refresh()?;
            newest()?
        }
    };
    let fetch = || {
        process::run(
            Command::new("apt-get")
                // apt's own user cannot write below a private folder.
                .args(["download", "-o", "APT::Sandbox::User=root", &package])
                .current_dir(download),
        )
    };
    // A list from yesterday may name a version the mirror no longer has.
    fetch().or_else(|_| packages::refresh().and_then(|()| fetch()))?;
    let archive = fs::read_dir(download)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| anyhow!("apt-get download {package} left no package"))?;
    process::run(Command::new("dpkg").arg("-x").arg(&archive).arg(unpacked))
}

/// The package the meta package depends on.
fn newest() -> Result<String> {
    let answer = process::output(Command::new("apt-cache").args(["depends", META_PACKAGE]))?;
    answer
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
        .map(str::to_owned)
        .ok_or_else(|| anyhow!("apt knows no kernel behind {META_PACKAGE}"))
}

fn release_of(root: &Path) -> Result<String> {
    let folder = root.join("lib/modules");
    fs::read_dir(&folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .next()
        .ok_or_else(|| anyhow!("{} has no kernel release", folder.display()))
}

fn depmod() -> PathBuf {
    process::find("depmod").unwrap_or_else(|| PathBuf::from("depmod"))
}

/// The name of a module as the kernel knows it: file name without suffix, `-` and `_` are the same.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

/// Orders the wanted modules so that each comes after what it depends on. `dependencies` is the text of
/// modules.dep (`FILE: FILE...`, nearest dependency first), `builtin` that of modules.builtin.
fn resolve(dependencies: &str, builtin: &str, wanted: &[&str]) -> Result<Vec<String>> {
    let table: BTreeMap<String, (&str, Vec<&str>)> = dependencies
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(file, needs)| {
            (
                module_name(file),
                (file, needs.split_whitespace().collect()),
            )
        })
        .collect();
    let builtin: BTreeSet<String> = builtin.lines().map(module_name).collect();
    let mut order: Vec<String> = Vec::new();
    for name in wanted.iter().filter(|name| !builtin.contains(**name)) {
        let (file, needs) = table
            .get(*name)
            .ok_or_else(|| anyhow!("the kernel has no module {name}"))?;
        for path in needs.iter().rev().chain([file]) {
            if !order.iter().any(|known| known == path) {
                order.push((*path).to_owned());
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPENDENCIES: &str = "\
kernel/drivers/md/dm-mod.ko:
kernel/drivers/md/dm-bufio.ko: kernel/drivers/md/dm-mod.ko
kernel/drivers/md/dm-verity.ko: kernel/drivers/md/dm-bufio.ko kernel/drivers/md/dm-mod.ko
kernel/fs/squashfs/squashfs.ko.xz:
";

    #[test]
    fn dependencies_are_loaded_first_and_once() {
        let order = resolve(DEPENDENCIES, "", &["dm_verity", "dm_mod", "squashfs"]).unwrap();
        let names: Vec<_> = order.iter().map(|path| module_name(path)).collect();
        assert_eq!(names, ["dm_mod", "dm_bufio", "dm_verity", "squashfs"]);
    }

    #[test]
    fn built_in_modules_need_no_loading() {
        let order = resolve(DEPENDENCIES, "kernel/drivers/block/loop.ko\n", &["loop"]).unwrap();
        assert!(order.is_empty());
    }

    #[test]
    fn an_unknown_module_is_named() {
        let error = resolve(DEPENDENCIES, "", &["floppy"]).unwrap_err();
        assert_eq!(error.to_string(), "the kernel has no module floppy");
    }
}
