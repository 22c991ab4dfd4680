//! The Debian packages a task needs: installed through apt when missing, or only named.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::process;

/// What the daemon's crates need to build: headers and libclang for the device mapper bindings.
pub const BUILD: &[&str] = &[
    "binutils",
    "gcc",
    "libc6-dev",
    "libclang-dev",
    "libdevmapper-dev",
    "pkg-config",
];

/// What the virtual machine needs.
pub const VM: &[&str] = &[
    "busybox-static",
    "cpio",
    "kmod",
    "qemu-system-x86",
    "secilc",
];

/// What the tests compare with and run against: independent implementations of dm-verity and squashfs,
/// tokens behind PKCS #11, a broker, shells.
pub const TEST: &[&str] = &[
    "busybox-static",
    "cryptsetup-bin",
    "e2fsprogs",
    "fish",
    "libarchive13",
    "mosquitto",
    "opensc",
    "openssl",
    "python3",
    "softhsm2",
    "squashfs-tools",
    "strace",
    "zsh",
];

/// What long fuzzing runs need: libFuzzer is C++.
pub const FUZZ: &[&str] = &["g++"];

/// What the static checks need.
pub const CHECK: &[&str] = &["git", "shellcheck"];

/// What to do about a missing package.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Policy {
    /// Name missing Debian packages and fail, instead of installing them.
    #[arg(long)]
    pub no_install: bool,
}

impl Policy {
    /// Makes sure that all of `packages` are installed.
    ///
    /// # Errors
    /// A package is missing and must not, or cannot, be installed; the error names it.
    pub fn require(self, packages: &[&[&str]]) -> Result<()> {
        let mut wanted: Vec<&str> = packages.concat();
        wanted.sort_unstable();
        wanted.dedup();
        let missing: Vec<&str> = wanted
            .into_iter()
            .filter(|package| !installed(package))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let line = format!(
            "apt-get install --no-install-recommends {}",
            missing.join(" ")
        );
        if self.no_install {
            bail!("missing Debian packages; install them with: {line}");
        }
        if process::find("apt-get").is_none() {
            bail!("missing packages, and this is no Debian; on Debian it would be: {line}");
        }
        eprintln!("installing missing Debian packages: {}", missing.join(" "));
        refresh()?;
        process::run(
            process::privileged("apt-get")?
                .args(["install", "--yes", "--no-install-recommends"])
                .args(missing)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )
    }
}

/// Brings apt's lists up to date.
///
/// # Errors
/// No root, no network, or apt fails for another reason.
pub fn refresh() -> Result<()> {
    process::run(process::privileged("apt-get")?.args(["update", "--quiet"]))
}

fn installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}\\n", package])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|output| {
            output
                .stdout
                .split(|byte| *byte == b'\n')
                .any(|s| s == b"installed")
        })
}
