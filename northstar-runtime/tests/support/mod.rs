//! Packages made for one test, and what the kernel says about mounts and loop devices.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    dead_code,
    reason = "test code; not every test program uses everything"
)]

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use northstar_manifest::{Container, Manifest};
use northstar_npk::{
    Package,
    key::{PublicKey, SecretKey},
    pack::{PackOptions, pack},
    squashfs::Compression,
};
use northstar_runtime::storage::{ImageSource, Integrity, MountRequest};
use tempfile::TempDir;

/// How long a test waits for a loop device.
pub const LOOP_TIMEOUT: Duration = Duration::from_secs(30);

/// The content of the file `data` in each package: large and without any pattern, so that any block of it can be hit.
pub const DATA_SIZE: usize = 512 * 1024;

/// The directories of one test and a key.
#[derive(Debug)]
pub struct Env {
    pub directory: TempDir,
    pub key: SecretKey,
    _turn: Turn,
}

/// One test at a time: they count descriptors and device-mapper devices. A guard of a mutex could not be sent to
/// another thread.
#[derive(Debug)]
struct Turn;

static TAKEN: Mutex<bool> = Mutex::new(false);
static FREE: Condvar = Condvar::new();

impl Turn {
    fn wait() -> Self {
        let taken = TAKEN.lock().unwrap();
        *FREE.wait_while(taken, |taken| *taken).unwrap() = true;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap() = false;
        FREE.notify_one();
    }
}

impl Env {
    pub fn new() -> Self {
        let turn = Turn::wait();
        let directory = tempfile::tempdir().unwrap();
        for name in ["run", "packages", "root"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let env = Self {
            directory,
            key: SecretKey::generate().unwrap(),
            _turn: turn,
        };
        fs::write(env.path("root/data"), data()).unwrap();
        fs::write(env.path("root/hello"), b"hello\n").unwrap();
        env.key.write_pair(env.directory.path(), "test").unwrap();
        env
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn public_key(&self) -> PublicKey {
        self.key.public()
    }

    /// Packs `container`, signed.
    pub fn signed(&self, container: &str) -> PathBuf {
        self.pack(container, Some(&self.key))
    }

    /// Packs `container`, not signed.
    pub fn unsigned(&self, container: &str) -> PathBuf {
        self.pack(container, None)
    }

    pub fn pack(&self, container: &str, key: Option<&SecretKey>) -> PathBuf {
        let container: Container = container.parse().unwrap();
        let (name, version) = (container.name(), container.version());
        let manifest = format!("name: {name}\nversion: {version}\nuid: 1000\ngid: 1000\n");
        let manifest = Manifest::from_yaml(manifest.as_bytes()).unwrap();
        let options = PackOptions {
            manifest: &manifest,
            root: Some(&self.path("root")),
            key,
            compression: Compression::None,
            ..PackOptions::new(&manifest)
        };
        pack(&options, &self.path("packages")).unwrap().path
    }

    /// A request to mount the package `path`, opened with the key if it has one.
    pub fn request(&self, path: &Path, integrity: Integrity) -> MountRequest {
        let key = (integrity != Integrity::None).then(|| self.public_key());
        request(path, key.as_ref(), integrity, &self.path("run"))
    }

    /// The mounts below the test's directory.
    pub fn mounts(&self) -> Vec<Mount> {
        mounts_below(self.directory.path())
    }

    /// The loop devices on files of this test.
    pub fn loop_devices(&self) -> BTreeSet<String> {
        loop_devices(self.directory.path())
    }
}

pub fn request(
    path: &Path,
    key: Option<&PublicKey>,
    integrity: Integrity,
    run: &Path,
) -> MountRequest {
    let file = File::open(path).unwrap();
    let package = Package::open(&file, key).unwrap();
    let container = package.container();
    MountRequest {
        target: run.join(container.to_string()),
        container,
        source: ImageSource {
            file: Arc::new(file),
            image: package.image().clone(),
        },
        integrity,
        selinux_context: None,
        loop_timeout: LOOP_TIMEOUT,
    }
}

/// The content of `data`.
pub fn data() -> Vec<u8> {
    // xorshift64, George Marsaglia: any sequence that does not repeat would do.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(DATA_SIZE);
    while bytes.len() < DATA_SIZE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// Changes one byte of a file in place.
pub fn flip(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x01], offset).unwrap();
    file.sync_all().unwrap();
}

/// Where the content of `data` begins in the package.
pub fn offset_of_data(path: &Path) -> u64 {
    let package = fs::read(path).unwrap();
    let start = &data()[..64];
    package
        .windows(64)
        .position(|window| window == start)
        .unwrap() as u64
}

/// One line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub device: String,
    pub path: PathBuf,
    pub options: BTreeSet<String>,
    pub filesystem: String,
}

pub fn mounts_below(directory: &Path) -> Vec<Mount> {
    // Of the thread, because some tests have a mount namespace of their own.
    let mountinfo = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let mounts = mountinfo.lines().map(|line| {
        let (front, back) = line.split_once(" - ").unwrap();
        let fields: Vec<&str> = front.split(' ').collect();
        Mount {
            device: fields[2].to_owned(),
            path: fields[4].into(),
            options: fields[5].split(',').map(str::to_owned).collect(),
            filesystem: back.split(' ').next().unwrap().to_owned(),
        }
    });
    mounts
        .filter(|mount| mount.path.starts_with(directory))
        .collect()
}

/// The loop devices whose file is below `directory`, by name.
pub fn loop_devices(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/sys/block").unwrap() {
        let entry = entry.unwrap();
        // Without a file, or with one that is gone by the time it is read, the device is nobody's.
        let Ok(file) = fs::read_to_string(entry.path().join("loop/backing_file")) else {
            continue;
        };
        if Path::new(file.trim_end()).starts_with(directory) {
            found.insert(entry.file_name().into_string().unwrap());
        }
    }
    found
}

/// How many descriptors this process has.
pub fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../northstar-npk/tests/fixtures")
        .join(name)
}

/// Waits for what the kernel does on its own, at most ten seconds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(
            std::time::Instant::now() < deadline,
            "not within 10 s: {what}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}
