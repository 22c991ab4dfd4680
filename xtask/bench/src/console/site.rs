//! A daemon on a folder of its own, with consoles on a Unix socket and on TCP.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use northstar_manifest::Manifest;
use northstar_npk::pack::{PackOptions, pack};

use super::wire;

/// Longer than a daemon takes to start or to end.
const LIMIT: Duration = Duration::from_secs(60);
/// Fields of /proc/PID/stat between the name and the time in user mode.
const USER_TIME: usize = 11;
/// Unit of the times there: USER_HZ is 100 wherever this runs.
const TICK: Duration = Duration::from_millis(10);

/// A running daemon; killed when dropped.
#[derive(Debug)]
pub struct Site {
    child: Child,
    folder: tempfile::TempDir,
    pub tcp: String,
}

/// How a daemon is started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup<'a> {
    /// More lines for the tables of both consoles.
    pub options: &'a str,
    /// More lines for the repository.
    pub repository: &'a str,
    /// Number of packages.
    pub packages: usize,
    /// Most open descriptors of the daemon, if not as many as usual.
    pub descriptors: Option<usize>,
}

impl Site {
    /// Starts a daemon and waits until it answers.
    pub fn start(northstar: &Path, scratch: &Path, setup: Setup<'_>) -> Result<Site> {
        let folder = tempfile::Builder::new()
            .prefix("console-")
            .tempdir_in(scratch)?;
        let path = folder.path().to_owned();
        let packages = path.join("packages");
        fs::create_dir(&packages)?;
        (0..setup.packages).try_for_each(|number| package(&packages, number))?;
        let port = free_port()?;
        let tcp = format!("127.0.0.1:{port}");
        fs::write(
            path.join("northstar.toml"),
            configuration(&path, &tcp, setup),
        )?;
        let mut command = match setup.descriptors {
            None => Command::new(northstar),
            Some(limit) => {
                let mut shell = Command::new("/bin/sh");
                // The hard limit too: the daemon would raise its own up to that.
                let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
                shell.arg("-c").arg(script).arg(northstar);
                shell
            }
        };
        let child = command
            .arg("--config")
            .arg(path.join("northstar.toml"))
            .env("RUST_LOG", "off")
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {}", northstar.display()))?;
        let mut site = Site { child, folder, tcp };
        site.wait()?;
        Ok(site)
    }

    fn wait(&mut self) -> Result<()> {
        let begin = Instant::now();
        loop {
            match wire::unix(&self.socket(), wire::CONNECT)
                .and_then(|mut wire| wire.ask(wire::LIST))
            {
                Ok(_) => return Ok(()),
                Err(error) => {
                    if let Some(status) = self.child.try_wait()? {
                        return Err(error).with_context(|| format!("the daemon ended: {status}"));
                    }
                    ensure!(begin.elapsed() < LIMIT, "no answer: {error}");
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("console")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Resident memory of the daemon in KiB (proc_pid_status(5)).
    pub fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number
            .context("no VmRSS")?
            .parse()
            .context("VmRSS is no number")
    }

    /// Processor time that the daemon has used so far, in user mode and in the kernel (proc_pid_stat(5)).
    pub fn processor(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name of the program may have blanks in it; its end is the last parenthesis.
        let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
        let times = fields.split_whitespace().skip(USER_TIME).take(2);
        let ticks: u64 = times.map(str::parse::<u64>).sum::<Result<_, _>>()?;
        Ok(TICK.saturating_mul(u32::try_from(ticks)?))
    }

    /// Ends the daemon.
    pub fn stop(mut self) -> Result<()> {
        let begin = Instant::now();
        let ask =
            || wire::unix(&self.socket(), wire::CONNECT)?.ask(b"{\"request\":\"shutdown\"}\n");
        // One that had no descriptors left needs a moment to have some again.
        while let Err(error) = ask() {
            ensure!(begin.elapsed() < LIMIT, "no answer: {error}");
            std::thread::sleep(Duration::from_millis(50));
        }
        while begin.elapsed() < LIMIT {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the daemon ended: {status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("the daemon does not end")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(path: &Path, tcp: &str, setup: Setup<'_>) -> String {
    format!(
        "run_dir = \"{path}/run\"\ndata_dir = \"{path}/data\"\nlog_dir = \"{path}/log\"\n\
         cgroup = \"northstar-bench-console-{id}\"\n\
         [[console]]\nurl = \"unix://{path}/console\"\n{options}\n\
         [[console]]\nurl = \"tcp://{tcp}\"\n{options}\n\
         [repositories.bench]\ntype = {{ fs = {{ dir = \"{path}/packages\" }} }}\n{repository}\n",
        path = path.display(),
        id = std::process::id(),
        options = setup.options,
        repository = setup.repository,
    )
}

/// One that nobody listens on now.
fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

/// A package with a manifest of the usual size and nothing else.
fn package(folder: &Path, number: usize) -> Result<()> {
    let text = format!(
        "name: bench-{number:04}\nversion: 0.0.1\ninit: /bin/program\nuid: 1000\ngid: 1000\n\
         args: [--config, /etc/program.conf, -v]\nenv: {{RUST_LOG: info, HOME: /data}}\n\
         mounts:\n  /dev: {{type: dev}}\n  /proc: {{type: proc}}\n  /data: {{type: persist}}\n\
         \x20 /lib: {{type: bind, host: /lib, options: 'nodev,nosuid'}}\n\
         \x20 /tmp: {{type: tmpfs, size: 20M}}\nio: {{stdout: pipe, stderr: pipe}}\n"
    );
    let manifest = Manifest::from_yaml(text.as_bytes())?;
    pack(&PackOptions::new(&manifest), folder)?;
    Ok(())
}
