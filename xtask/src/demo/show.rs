//! The second half of the demonstration, as root: one daemon, one container, one flipped bit.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{self, Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    Stage,
    daemon::Daemon,
    lines::Lines,
    traces::{Marks, Traces, mapped_devices},
};

/// The container that is shown.
const CONTAINER: &str = "hello-world:0.0.1";

/// Longer than anything takes, also in an emulated machine.
const LIMIT: Duration = Duration::from_secs(30);

/// With what a squashfs superblock begins.
const SQUASHFS_MAGIC: &[u8] = b"hsqs";

/// Says what comes next.
pub fn headline(text: &str) {
    println!("\n== {text}");
}

/// Everything of one demonstration.
struct Demo {
    folder: tempfile::TempDir,
    programs: PathBuf,
    repository: PathBuf,
    key: PathBuf,
    console: String,
    marks: Marks,
}

/// Shows the whole way of a package.
///
/// # Errors
/// Anything that does not go as shown.
pub fn main(stage: Stage) -> Result<ExitCode> {
    let demo = Demo::new(stage)?;
    let integrity = integrity();
    headline("Start the daemon on a folder of its own");
    match integrity {
        "dm-verity" => {
            println!("This kernel has dm-verity: it checks every block when it is read.")
        }
        _ => println!(
            "This kernel has no dm-verity, so this demonstration uses integrity = \"full-read\": each image is \
             checked as a whole before it is mounted, and not after. `cargo xtask demo --vm` shows dm-verity."
        ),
    }
    let configuration = demo.configure(integrity)?;
    let mut daemon = demo.start(&configuration)?;

    headline("What is installed");
    demo.nstar(&["list"])?;

    headline("Listen to what happens, and run a container that ends by itself");
    let listener = demo.listen()?;

    headline("Start a container and see what it says");
    demo.nstar(&["start", "hello-world"])?;
    daemon.log.wait_for(&[CONTAINER, "Hello"], LIMIT)?;
    demo.nstar(&["inspect", CONTAINER])?;
    let traces = Traces::find(&demo.marks, Some(daemon.id()));
    println!("While it runs there are: {traces}");
    ensure!(
        !traces.is_empty(),
        "a running container without a trace in the kernel"
    );

    headline("Kill it and hear of its end");
    listener.lines.forget();
    demo.nstar(&["kill", CONTAINER])?;
    listener.lines.wait_for(&["exit", CONTAINER], LIMIT)?;

    headline("Flip one bit in the package");
    demo.nstar(&["umount", CONTAINER])?;
    let bit = demo.find_bit()?;
    demo.flip(&bit)?;
    demo.refused(demo.sextant_verify())?;
    demo.refused(demo.nstar_command(&["start", "hello-world"]))?;

    headline("Flip it back");
    demo.flip(&bit)?;
    daemon.log.forget();
    demo.nstar(&["start", "hello-world"])?;
    daemon.log.wait_for(&[CONTAINER, "Hello"], LIMIT)?;

    headline("Shut down with the container running");
    demo.nstar(&["shutdown"])?;
    let status = daemon.wait(LIMIT)?;
    println!("The daemon ended: {status}");
    ensure!(status.success(), "the daemon did not end well");
    drop(listener);
    let left = Traces::left(&demo.marks, Duration::from_secs(1));
    println!("Left behind: {left}");
    ensure!(left.is_empty(), "something is left behind");

    headline("Done");
    Ok(ExitCode::SUCCESS)
}

/// The best this kernel can do. Loading the module is harmless, and a kernel that has it built in says so too.
pub fn integrity() -> &'static str {
    let _ = Command::new("modprobe")
        .arg("dm_verity")
        .stderr(Stdio::null())
        .status();
    let misc = fs::read_to_string("/proc/misc").unwrap_or_default();
    let mapper = misc.split_whitespace().any(|word| word == "device-mapper");
    if mapper && Path::new("/sys/module/dm_verity").exists() {
        "dm-verity"
    } else {
        "full-read"
    }
}

/// A running `nstar notifications`.
struct Listener {
    child: Child,
    lines: Lines,
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a bit is.
struct Bit {
    package: PathBuf,
    offset: u64,
}

impl Demo {
    fn new(stage: Stage) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("northstar-demo-")
            .tempdir()?;
        let programs = folder.path().join("bin");
        let repository = folder.path().join("repository");
        for (from, to) in [(&stage.programs, &programs), (&stage.packages, &repository)] {
            fs::create_dir(to)?;
            for entry in fs::read_dir(from)? {
                let entry = entry?;
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        let marks = Marks {
            folder: folder.path().canonicalize()?,
            cgroup: format!("northstar-demo-{}", process::id()),
            mapped_before: mapped_devices(),
        };
        let console = format!("unix://{}", folder.path().join("console").display());
        Ok(Self {
            folder,
            programs,
            repository,
            key: stage.key,
            console,
            marks,
        })
    }

    fn configure(&self, integrity: &str) -> Result<PathBuf> {
        let folder = self.folder.path().display();
        let text = format!(
            r#"console = ["{console}"]
run_dir = "{folder}/run"
data_dir = "{folder}/data"
log_dir = "{folder}/logs"
cgroup = "{cgroup}"

[repositories.demo]
key = "{key}"
integrity = "{integrity}"
type = {{ fs = {{ dir = "{repository}" }} }}
"#,
            console = self.console,
            cgroup = self.marks.cgroup,
            key = self.key.display(),
            repository = self.repository.display(),
        );
        print!("{text}");
        let path = self.folder.path().join("demo.toml");
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts the daemon and waits until its console answers.
    fn start(&self, configuration: &Path) -> Result<Daemon> {
        let program = self.programs.join("northstar");
        println!("$ northstar --config {}", configuration.display());
        let mut daemon = Daemon::start(&program, configuration)?;
        let deadline = Instant::now() + LIMIT;
        loop {
            daemon.check()?;
            let mut probe = self.nstar_command(&["list"]);
            if probe
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?
                .success()
            {
                return Ok(daemon);
            }
            ensure!(Instant::now() < deadline, "the console does not answer");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn nstar_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("nstar"));
        command.args(["--url", &self.console]).args(arguments);
        command
    }

    /// Runs nstar, which has to succeed.
    fn nstar(&self, arguments: &[&str]) -> Result<()> {
        self.echo(&self.nstar_command(arguments));
        let status = self.nstar_command(arguments).status()?;
        ensure!(
            status.success(),
            "nstar {} failed: {status}",
            arguments.join(" ")
        );
        Ok(())
    }

    fn sextant_verify(&self) -> Command {
        let mut command = Command::new(self.programs.join("sextant"));
        command
            .arg("verify")
            .arg(self.package())
            .arg("--key")
            .arg(&self.key);
        command
    }

    /// Runs a command that has to fail.
    fn refused(&self, mut command: Command) -> Result<()> {
        self.echo(&command);
        let status = command.status()?;
        ensure!(
            status.code() == Some(1),
            "an altered package was accepted: {status}"
        );
        println!("(refused)");
        Ok(())
    }

    /// Shows a command without the folders in front of the programs.
    fn echo(&self, command: &Command) {
        let line = crate::process::display(command);
        println!(
            "$ {}",
            line.replace(&format!("{}/", self.programs.display()), "")
        );
    }

    fn package(&self) -> PathBuf {
        self.repository.join("hello-world-0.0.1.npk")
    }

    /// Starts to show notifications. A client that has just connected may miss what happens meanwhile, so a short
    /// container runs until one of its notifications has been heard.
    fn listen(&self) -> Result<Listener> {
        let mut command = self.nstar_command(&["notifications"]);
        self.echo(&command);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("nstar has no stdout")?;
        let listener = Listener {
            child,
            lines: Lines::show(output, "<"),
        };
        let deadline = Instant::now() + LIMIT;
        loop {
            self.nstar(&["start", "persistence"])?;
            match listener.lines.wait_for(&["exit"], Duration::from_secs(3)) {
                Ok(()) => return Ok(listener),
                Err(_) if Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A bit of the squashfs image, in its first block: the kernel reads that one to mount it.
    fn find_bit(&self) -> Result<Bit> {
        let package = self.package();
        let bytes = fs::read(&package)?;
        let offset = bytes
            .chunks(4096)
            .position(|block| block.starts_with(SQUASHFS_MAGIC))
            .with_context(|| format!("no image in {}", package.display()))?;
        // The time of the file system's creation: nothing but a hash would notice.
        let offset = u64::try_from(offset)?
            .saturating_mul(4096)
            .saturating_add(8);
        Ok(Bit { package, offset })
    }

    fn flip(&self, bit: &Bit) -> Result<()> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&bit.package)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, bit.offset)?;
        let flipped = byte.map(|byte| byte ^ 1);
        file.write_all_at(&flipped, bit.offset)?;
        println!(
            "byte {} of {}: {byte:02x?} -> {flipped:02x?}",
            bit.offset,
            bit.package.display()
        );
        Ok(())
    }
}
