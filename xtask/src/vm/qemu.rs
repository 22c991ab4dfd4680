//! Starting QEMU and following one run from the host's side.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    Guest,
    channel::{PORT, Record, Request},
};

/// A guest under KVM says that it is ready within 3 s. A /dev/kvm that exists but does not work hangs for ever.
const KVM_READY: Duration = Duration::from_secs(20);
/// Software emulation on a busy machine.
const TCG_READY: Duration = Duration::from_secs(180);
/// Time between the end of the command and the end of QEMU.
const POWER_OFF: Duration = Duration::from_secs(30);

/// The two ways to run the guest's processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accelerator {
    Kvm,
    Tcg,
}

impl Accelerator {
    /// What QEMU's `-accel` takes.
    fn option(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg,thread=multi",
        }
    }

    /// What the guest's kernel is told about it.
    ///
    /// Emulation translates a page of code again for each address that it is executed at, and keeps all of that in one
    /// list, which is walked for each write to the page once it is free again. Behind a thousand processes at addresses of
    /// their own, to clear a few such pages took the guest up to a minute, in which every deadline of a test passed.
    fn kernel_parameters(self) -> &'static str {
        match self {
            Self::Kvm => "",
            Self::Tcg => "norandmaps",
        }
    }
}

/// Boots the guest, has it run the request, and returns the exit code.
///
/// # Errors
/// See [`Guest::run`].
pub fn run(
    guest: &Guest,
    exchange: &Path,
    request: &Request,
    stdout: &mut dyn io::Write,
    stderr: &mut dyn io::Write,
) -> Result<i32> {
    let start = Instant::now();
    let (mut machine, mut stream) = boot(guest, exchange)?;
    Record::Run(serde_json::to_vec(request)?).write(&mut stream)?;
    loop {
        let left = guest.timeout.saturating_sub(start.elapsed());
        if left.is_zero() {
            bail!("the command exceeded {} s", guest.timeout.as_secs());
        }
        stream.set_read_timeout(Some(left))?;
        match Record::read(&mut stream) {
            Ok(Record::Stdout(bytes)) => forward(stdout, &bytes)?,
            Ok(Record::Stderr(bytes)) => forward(stderr, &bytes)?,
            Ok(Record::Exit(code)) => {
                Record::Done.write(&mut stream)?;
                machine.wait(POWER_OFF)?;
                return Ok(code);
            }
            Ok(other) => bail!("the guest sent {other:?} out of order"),
            Err(error) if is_timeout(&error) => {}
            Err(error) => {
                return Err(
                    machine.post_mortem(error.into(), "the guest died before the command ended")
                );
            }
        }
    }
}

fn forward(sink: &mut dyn io::Write, bytes: &[u8]) -> Result<()> {
    sink.write_all(bytes)
        .and_then(|()| sink.flush())
        .context("cannot pass the output on")
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Boots with KVM if it works on this machine, else with software emulation. That KVM does not work is
/// remembered until the host reboots, because finding out costs [`KVM_READY`].
fn boot(guest: &Guest, exchange: &Path) -> Result<(Machine, UnixStream)> {
    let note = guest.scratch.join("kvm-does-not-work");
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let known_bad = fs::read_to_string(&note).is_ok_and(|noted| noted == boot_id);
    let usable = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_ok();
    if usable && !known_bad {
        let mut machine = Machine::start(guest, exchange, Accelerator::Kvm)?;
        match machine.ready(KVM_READY) {
            Ok(stream) => return Ok((machine, stream)),
            Err(error) => {
                eprintln!("vm: /dev/kvm does not work here ({error:#}); emulating the processor");
                fs::write(&note, boot_id)?;
            }
        }
    }
    let mut machine = Machine::start(guest, exchange, Accelerator::Tcg)?;
    match machine.ready(TCG_READY) {
        Ok(stream) => Ok((machine, stream)),
        Err(error) => Err(machine.post_mortem(error, "the guest does not boot")),
    }
}

/// A running QEMU; dropping it ends it.
struct Machine {
    child: Child,
    listener: UnixListener,
    console: PathBuf,
}

impl Machine {
    fn start(guest: &Guest, exchange: &Path, accelerator: Accelerator) -> Result<Self> {
        let socket = exchange.join("port");
        let console = exchange.join("console.log");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)
            .with_context(|| format!("cannot listen on {}", socket.display()))?;
        listener.set_nonblocking(true)?;
        let share = |id: &str, path: &Path, readonly: &str| {
            let path = path.display().to_string().replace(',', ",,");
            let options = "security_model=none,multidevs=remap";
            [
                "-fsdev".to_owned(),
                format!("local,id={id},path={path},{options},readonly={readonly}"),
                "-device".to_owned(),
                format!("virtio-9p-pci,fsdev={id},mount_tag={id}"),
            ]
        };
        let child = Command::new("qemu-system-x86_64")
            .args([
                "-accel",
                accelerator.option(),
                "-M",
                "q35",
                "-cpu",
                "max",
                "-smp",
                "2",
                "-m",
                &guest.memory.to_string(),
            ])
            .args([
                "-nodefaults",
                "-no-user-config",
                "-display",
                "none",
                "-no-reboot",
            ])
            .arg("-kernel")
            .arg(guest.kernel.image())
            .arg("-initrd")
            .arg(&guest.initramfs)
            .arg("-append")
            .arg(format!(
                "console=ttyS0 quiet panic=-1 loglevel=3 {} {}",
                accelerator.kernel_parameters(),
                guest.append
            ))
            .args(["-serial", &format!("file:{}", console.display())])
            .args(["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"])
            .args([
                "-chardev",
                &format!("socket,id=agent,path={}", socket.display()),
            ])
            .args([
                "-device",
                &format!("virtserialport,chardev=agent,name={PORT}"),
            ])
            .args(share("host", Path::new("/"), "on"))
            .args(share("exchange", exchange, "off"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot run qemu-system-x86_64")?;
        Ok(Self {
            child,
            listener,
            console,
        })
    }

    /// Waits until the agent reports.
    fn ready(&mut self, limit: Duration) -> Result<UnixStream> {
        let deadline = Instant::now() + limit;
        let mut stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("cannot accept QEMU's connection"),
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("QEMU ended: {status}");
            }
            if Instant::now() > deadline {
                bail!("QEMU did not connect within {} s", limit.as_secs());
            }
            thread::sleep(Duration::from_millis(5));
        };
        stream.set_nonblocking(false)?;
        let left = deadline.saturating_duration_since(Instant::now());
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match Record::read(&mut stream) {
            Ok(Record::Ready) => Ok(stream),
            Ok(other) => bail!("the guest began with {other:?}"),
            Err(error) if is_timeout(&error) => bail!("not ready within {} s", limit.as_secs()),
            Err(error) => Err(error).context("the guest ended while booting"),
        }
    }

    /// Waits for QEMU to end by itself.
    fn wait(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("the guest did not power off within {} s", limit.as_secs());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Adds the end of the kernel console to an error.
    fn post_mortem(&self, error: anyhow::Error, what: &str) -> anyhow::Error {
        let console = fs::read(&self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&console);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(30)..)
            .unwrap_or_default()
            .join("\n");
        error.context(format!("{what}; the end of its console:\n{tail}\n"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
