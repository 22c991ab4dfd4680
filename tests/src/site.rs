//! A place where one daemon lives: keys, repositories, configuration, directories.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;

use crate::{Daemon, Package, programs};

/// How a keyed repository is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integrity {
    /// By the kernel, on each read.
    DmVerity,
    /// By the daemon, before each mount.
    FullRead,
}

impl Integrity {
    /// dm-verity where the kernel has it.
    #[must_use]
    pub fn available() -> Self {
        if Path::new("/sys/module/dm_verity").exists() {
            Self::DmVerity
        } else {
            Self::FullRead
        }
    }

    /// The value of the configuration key `integrity`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::DmVerity => "dm-verity",
            Self::FullRead => "full-read",
        }
    }
}

/// The directory and the configuration of a daemon that is to be started.
#[derive(Debug)]
pub struct Site {
    directory: TempDir,
    control_group: String,
    integrity: Integrity,
    /// Appended to the table of the repository `default`.
    repository_options: String,
    /// Consoles beside the socket, as elements of the list.
    consoles: String,
    /// Put at the start of the configuration, where keys of the top level stand.
    options: String,
    /// Appended to the configuration.
    tables: String,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// Makes the directories and a key pair.
    ///
    /// # Panics
    /// If the temporary directory cannot be filled.
    #[must_use]
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let directory = tempfile::Builder::new()
            .prefix("northstar-test-")
            .tempdir()
            .expect("a temporary directory can be made");
        fs::create_dir(directory.path().join("repository")).expect("the repository can be made");
        let status = Command::new(&programs().sextant)
            .stdout(std::process::Stdio::null())
            .args(["gen-key", "--name", "test", "--out"])
            .arg(directory.path())
            .status()
            .expect("sextant runs");
        assert!(status.success(), "sextant gen-key failed");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self {
            directory,
            control_group: format!("northstar-test-{}-{number}", std::process::id()),
            integrity: Integrity::available(),
            repository_options: String::new(),
            consoles: String::new(),
            options: String::new(),
            tables: String::new(),
        }
    }

    /// Chooses the integrity of the repository `default`.
    #[must_use]
    pub fn integrity(mut self, integrity: Integrity) -> Self {
        self.integrity = integrity;
        self
    }

    /// Adds a line to the table of the repository `default`.
    #[must_use]
    pub fn repository_option(mut self, line: &str) -> Self {
        self.repository_options.push_str(line);
        self.repository_options.push('\n');
        self
    }

    /// Adds a console, an inline table; `DIRECTORY` stands for the site's directory.
    #[must_use]
    pub fn console(mut self, table: &str) -> Self {
        let table = table.replace("DIRECTORY", &self.directory.path().to_string_lossy());
        self.consoles.push_str(", ");
        self.consoles.push_str(&table);
        self
    }

    /// Adds a line to the top level of the configuration.
    #[must_use]
    pub fn option(mut self, line: &str) -> Self {
        self.options.push_str(line);
        self.options.push('\n');
        self
    }

    /// Adds tables to the configuration; `DIRECTORY` stands for the site's directory.
    #[must_use]
    pub fn tables(mut self, text: &str) -> Self {
        self.tables
            .push_str(&text.replace("DIRECTORY", &self.directory.path().to_string_lossy()));
        self.tables.push('\n');
        self
    }

    /// Packs and signs a package into the repository `default`.
    pub fn pack(&self, package: &Package) -> PathBuf {
        package.pack(&self.repository(), Some(&self.key()))
    }

    /// The site's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The directory of the repository `default`.
    #[must_use]
    pub fn repository(&self) -> PathBuf {
        self.path().join("repository")
    }

    /// The secret key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.path().join("test.key")
    }

    /// The socket of the console.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path().join("console.sock")
    }

    /// The name of the top-level control group.
    #[must_use]
    pub fn control_group(&self) -> &str {
        &self.control_group
    }

    /// Writes the configuration and returns its path.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_configuration(&self) -> PathBuf {
        let path = self.path().join("northstar.toml");
        fs::write(&path, self.configuration()).expect("the configuration can be written");
        path
    }

    /// Starts the daemon and waits until its console answers.
    #[must_use]
    pub fn start(&self) -> Daemon {
        Daemon::start(self, &[])
    }

    /// Starts the daemon through a command that executes its remaining arguments.
    #[must_use]
    pub fn start_through(&self, launcher: &[&str]) -> Daemon {
        Daemon::start(self, launcher)
    }

    /// Starts the daemon in a mount namespace where `/dev/mapper` is empty, which is what a kernel without device
    /// mapper looks like.
    #[must_use]
    pub fn start_without_device_mapper(&self) -> Daemon {
        let hide =
            "if [ -d /dev/mapper ]; then mount -t tmpfs none /dev/mapper; fi; exec \"$0\" \"$@\"";
        Daemon::start(self, &["unshare", "--mount", "sh", "-c", hide])
    }

    fn configuration(&self) -> String {
        let Self {
            control_group,
            consoles,
            options,
            repository_options,
            tables,
            ..
        } = self;
        let directory = self.path().display();
        let integrity = self.integrity.word();
        format!(
            r#"console = ["unix://{directory}/console.sock"{consoles}]
run_dir = "{directory}/run"
data_dir = "{directory}/data"
log_dir = "{directory}/logs"
mount_parallel = 4
cgroup = "{control_group}"
{options}
[repositories.default]
key = "{directory}/test.pub"
type = {{ fs = {{ dir = "{directory}/repository" }} }}
integrity = "{integrity}"
{repository_options}
{tables}"#
        )
    }
}
