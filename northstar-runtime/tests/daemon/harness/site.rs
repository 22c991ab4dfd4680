//! Directories, packages and a configuration, and what is left of a daemon on the machine.

use super::Daemon;
use northstar_manifest::Manifest;
use northstar_npk::{
    pack::{PackOptions, pack},
    squashfs::Compression,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};
use tempfile::TempDir;

/// Directories, packages and a configuration.
#[derive(Debug)]
pub struct Site {
    directory: TempDir,
    /// The daemons of one test program count what is there on the whole machine.
    _turn: Option<File>,
    pub cgroup: String,
    /// More lines of the repository's table.
    pub repository: &'static str,
    pub stop_timeout: &'static str,
}

impl Site {
    pub fn new() -> Site {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let turn = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("turn")).unwrap();
        turn.lock().unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("packages")).unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("northstar-test-{}-{number}", std::process::id());
        Site {
            directory,
            _turn: Some(turn),
            cgroup,
            repository: "",
            stop_timeout: "2s",
        }
    }

    /// Another one, with the same cgroup.
    pub fn neighbour(&self) -> Site {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("packages")).unwrap();
        Site {
            directory,
            _turn: None,
            cgroup: self.cgroup.clone(),
            repository: "",
            stop_timeout: "2s",
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Packs `NAME:0.0.1`, which runs `script` in the host's shell. `more` are further lines of the manifest, `mounts`
    /// of its mounts.
    pub fn shell(&self, name: &str, script: &str, more: &str, mounts: &str) -> String {
        let mut manifest = format!(
            "name: {name}\nversion: 0.0.1\ninit: /bin/sh\nuid: 1000\ngid: 1000\n\
             args: ['-c', {}]\n{more}\nmounts:\n",
            Value::from(script)
        );
        for directory in ["/bin", "/lib", "/lib64", "/usr"] {
            if Path::new(directory).exists() {
                manifest += &format!(
                    "  {directory}: {{type: bind, host: {directory}, options: 'nodev,nosuid'}}\n"
                );
            }
        }
        manifest += "  /dev: {type: dev}\n  /proc: {type: proc}\n";
        self.pack(&(manifest + mounts))
    }

    /// Packs a manifest with nothing but mount points in its image.
    pub fn pack(&self, manifest: &str) -> String {
        let manifest = Manifest::from_yaml(manifest.as_bytes()).unwrap();
        let options = PackOptions {
            manifest: &manifest,
            root: None,
            key: None,
            compression: Compression::None,
            ..PackOptions::new(&manifest)
        };
        pack(&options, &self.path("packages")).unwrap();
        manifest.container().to_string()
    }

    /// Starts the daemon and waits until it answers.
    pub fn daemon(&self) -> Daemon {
        self.daemon_by(self.command())
    }

    /// The same by a command that becomes the daemon.
    pub fn daemon_by(&self, command: Command) -> Daemon {
        self.configure();
        Daemon::spawn(command, self.path("console"))
    }

    pub fn configure(&self) {
        let path = |name: &str| self.path(name).display().to_string();
        let config = format!(
            "console = [\"unix://{}\"]\nrun_dir = \"{}\"\ndata_dir = \"{}\"\nlog_dir = \"{}\"\n\
             cgroup = \"{}\"\nstop_timeout = \"{}\"\n[repositories.default]\n\
             type = {{ fs = {{ dir = \"{}\" }} }}\n{}\n",
            path("console"),
            path("run"),
            path("data"),
            path("log"),
            self.cgroup,
            self.stop_timeout,
            path("packages"),
            self.repository,
        );
        fs::write(self.path("northstar.toml"), config).unwrap();
    }

    /// Makes a user the owner of everything, for a daemon that is not root.
    pub fn give_to(&self, user: u32) {
        fn give(path: &Path, user: u32) {
            std::os::unix::fs::lchown(path, Some(user), Some(user)).unwrap();
            if path.is_dir() {
                for entry in fs::read_dir(path).unwrap() {
                    give(&entry.unwrap().path(), user);
                }
            }
        }
        self.configure();
        // A change of owner takes capabilities away from a file.
        for entry in fs::read_dir(self.directory.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name() != Some("northstar".as_ref()) {
                give(&path, user);
            }
        }
        std::os::unix::fs::chown(self.directory.path(), Some(user), Some(user)).unwrap();
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_northstar"));
        command
            .arg("--config")
            .arg(self.path("northstar.toml"))
            .env_remove("RUST_LOG");
        command
    }

    /// What is there of this site on the machine: loop devices, cgroups and mounts.
    pub fn residue(&self) -> BTreeMap<&'static str, Vec<String>> {
        let root = self.directory.path().display().to_string();
        let mut residue = BTreeMap::new();
        let backing = glob("/sys/block", |device| device.join("loop/backing_file"))
            .filter_map(|path| fs::read_to_string(path).ok())
            .filter(|file| file.contains(&root));
        residue.insert("loop devices", backing.collect());
        let cgroups = glob("/sys/fs/cgroup", |hierarchy| hierarchy.join(&self.cgroup))
            .chain([Path::new("/sys/fs/cgroup").join(&self.cgroup)])
            .filter(|path| path.exists())
            .map(|path| path.display().to_string());
        residue.insert("cgroups", cgroups.collect());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = mounts
            .lines()
            .filter(|line| line.contains(&root))
            .map(str::to_owned);
        residue.insert("mounts", mounts.collect());
        residue.retain(|_, found: &mut Vec<String>| !found.is_empty());
        residue
    }
}

fn glob<'a>(
    directory: &str,
    path: impl Fn(PathBuf) -> PathBuf + 'a,
) -> impl Iterator<Item = PathBuf> + 'a {
    fs::read_dir(directory)
        .unwrap()
        .map(move |entry| path(entry.unwrap().path()))
}
