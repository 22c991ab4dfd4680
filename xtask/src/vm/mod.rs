//! A virtual machine with a kernel that has what the daemon needs, whatever the host's kernel lacks.
//!
//! The guest runs Debian's own kernel and sees the host's file system read-only below an overlay, so
//! every program and every build result of the host is there and nothing the guest does reaches the
//! host. The way of one command:
//!
//! ```text
//! kernel      downloads and unpacks the kernel package, picks the modules
//! initramfs   busybox, the modules, init.sh
//! qemu        starts the guest: KVM if it works here, else software emulation
//! init.sh     mounts everything (first process of the guest), switches to the host's tree
//! agent       runs the command in the guest and sends its output and its status
//! channel     the records between the two sides, over a virtio serial port
//! ```

pub mod agent;
mod channel;
mod initramfs;
mod kernel;
mod qemu;

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{packages, workspace::Workspace};
pub use channel::{OUT, Request};

/// Options of `cargo xtask vm`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    packages: packages::Policy,
    /// Seconds after which the guest is ended.
    #[arg(long, default_value_t = 1800)]
    timeout: u64,
    /// Memory of the guest in MiB.
    #[arg(long, default_value_t = 4096)]
    memory: u32,
    /// Folder that receives what the command leaves in the folder $NORTHSTAR_VM_OUT.
    #[arg(long)]
    out: Option<PathBuf>,
    /// More words for the kernel's command line, such as "security=selinux selinux=1".
    #[arg(long)]
    append: Option<String>,
    /// Version of the control groups with the controllers.
    #[arg(long, value_enum, default_value_t = Cgroups::V2)]
    cgroups: Cgroups,
    /// The command to run in the guest.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How the guest's control groups are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Cgroups {
    /// All controllers in version 1, beside a version 2 without controllers: a hybrid.
    V1,
    /// Version 2 alone.
    V2,
}

/// Runs the command and hands its exit status on.
///
/// # Errors
/// The guest cannot be prepared or started, or ends without a status.
pub fn main(arguments: Arguments) -> Result<ExitCode> {
    arguments.packages.require(&[packages::VM])?;
    let workspace = Workspace::locate()?;
    let mut guest = Guest::prepare(&workspace)?;
    guest.timeout = Duration::from_secs(arguments.timeout);
    guest.memory = arguments.memory;
    guest.append = arguments.append.unwrap_or_default();
    guest.out = arguments.out;
    guest.cgroups = arguments.cgroups;
    let request = Request::here(arguments.command)?;
    let code = guest.run(&request, &mut io::stdout(), &mut io::stderr())?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

/// A guest that is ready to be started, as often as one likes.
#[derive(Debug, Clone)]
pub struct Guest {
    kernel: kernel::Kernel,
    initramfs: PathBuf,
    scratch: PathBuf,
    /// Time limit of one run.
    pub timeout: Duration,
    /// MiB of memory.
    pub memory: u32,
    /// More words for the kernel's command line.
    pub append: String,
    /// Receives the files the command leaves in `$NORTHSTAR_VM_OUT`.
    pub out: Option<PathBuf>,
    /// How the control groups are mounted.
    pub cgroups: Cgroups,
}

impl Guest {
    /// Downloads, unpacks and packs what is not there yet.
    ///
    /// # Errors
    /// The host's architecture has no guest, the kernel cannot be fetched, or files cannot be written.
    pub fn prepare(workspace: &Workspace) -> Result<Self> {
        if env::consts::ARCH != "x86_64" {
            bail!(
                "the virtual machine needs an x86_64 host, this one is {}",
                env::consts::ARCH
            );
        }
        let scratch = workspace.scratch("vm");
        fs::create_dir_all(&scratch)
            .with_context(|| format!("cannot create {}", scratch.display()))?;
        let kernel = kernel::Kernel::fetch(&scratch)?;
        let initramfs = initramfs::build(&kernel, &scratch)?;
        Ok(Self {
            kernel,
            initramfs,
            scratch,
            timeout: Duration::from_secs(1800),
            memory: 4096,
            append: String::new(),
            out: None,
            cgroups: Cgroups::V2,
        })
    }

    /// Boots, runs the request, and returns the exit code: that of the command, or 128 plus the signal
    /// that ended it.
    ///
    /// # Errors
    /// The guest does not boot, exceeds the time limit, or dies before the command has ended.
    pub fn run(
        &self,
        request: &Request,
        stdout: &mut dyn io::Write,
        stderr: &mut dyn io::Write,
    ) -> Result<i32> {
        // In the system's folder for temporary files: the path of a socket must stay short.
        let exchange = tempfile::Builder::new().prefix("northstar-vm-").tempdir()?;
        let results = exchange.path().join("out");
        fs::create_dir(&results)?;
        self.write_setup(exchange.path())?;
        let code = qemu::run(self, exchange.path(), request, stdout, stderr)?;
        if let Some(out) = &self.out {
            copy_tree(&results, out)
                .with_context(|| format!("cannot bring the results to {}", out.display()))?;
        }
        Ok(code)
    }

    /// The file `setup` tells init.sh what differs between runs. It is read as shell words.
    fn write_setup(&self, exchange: &Path) -> Result<()> {
        let agent = env::current_exe().context("cannot find the path of xtask itself")?;
        let mut setup = match self.cgroups {
            Cgroups::V1 => b"CGROUPS=1\n".to_vec(),
            Cgroups::V2 => b"CGROUPS=2\n".to_vec(),
        };
        for (name, path) in [
            ("AGENT", agent.as_path()),
            ("MODULES", &self.kernel.modules()),
        ] {
            setup.extend_from_slice(name.as_bytes());
            setup.extend_from_slice(b"='");
            setup.extend(
                path.as_os_str()
                    .as_bytes()
                    .iter()
                    .flat_map(|byte| match byte {
                        b'\'' => br"'\''".as_slice(),
                        other => std::slice::from_ref(other),
                    }),
            );
            setup.extend_from_slice(b"'\n");
        }
        Ok(fs::write(exchange.join("setup"), setup)?)
    }
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}
