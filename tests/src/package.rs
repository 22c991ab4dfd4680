//! Packages for tests, made by the real packer.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::programs;

/// A package to be: a manifest and the files of its image.
#[derive(Debug, Clone)]
pub struct Package {
    name: String,
    version: String,
    init: Option<Vec<String>>,
    mounts: Vec<(String, String)>,
    fields: Vec<String>,
    files: Vec<(String, String)>,
    links: Vec<(String, String)>,
}

impl Package {
    /// A container that runs the test program with `arguments`; standard output and error go to the log.
    #[must_use]
    pub fn app(name: &str, arguments: &[&str]) -> Self {
        Self {
            name: name.into(),
            version: "0.0.1".into(),
            init: Some(arguments.iter().map(|word| (*word).to_owned()).collect()),
            mounts: Vec::new(),
            fields: Vec::new(),
            files: Vec::new(),
            links: Vec::new(),
        }
        .mount("/dev", "{type: dev}")
        .mount("/proc", "{type: proc}")
    }

    /// A resource with one file.
    #[must_use]
    pub fn resource(name: &str, version: &str, file: &str, content: &str) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            init: None,
            mounts: Vec::new(),
            fields: Vec::new(),
            files: vec![(file.into(), content.into())],
            links: Vec::new(),
        }
    }

    /// Sets the version; 0.0.1 unless set.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.version = version.into();
        self
    }

    /// Adds a mount; `mount` is YAML in flow style.
    #[must_use]
    pub fn mount(mut self, target: &str, mount: &str) -> Self {
        self.mounts.push((target.into(), mount.into()));
        self
    }

    /// Removes the mount at `target`.
    #[must_use]
    pub fn without_mount(mut self, target: &str) -> Self {
        self.mounts.retain(|(path, _)| path != target);
        self
    }

    /// Adds a top-level field of the manifest in YAML.
    #[must_use]
    pub fn field(mut self, yaml: &str) -> Self {
        self.fields.push(yaml.into());
        self
    }

    /// Adds a file to the image.
    #[must_use]
    pub fn file(mut self, path: &str, content: &str) -> Self {
        self.files.push((path.into(), content.into()));
        self
    }

    /// Adds a symbolic link to the image.
    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.links.push((path.into(), target.into()));
        self
    }

    /// `name:version`.
    #[must_use]
    pub fn container(&self) -> String {
        format!("{}:{}", self.name, self.version)
    }

    /// The manifest in YAML.
    #[must_use]
    pub fn manifest(&self) -> String {
        let mut yaml = format!(
            "name: {}\nversion: {}\nuid: 1000\ngid: 1000\n",
            self.name, self.version
        );
        if let Some(arguments) = &self.init {
            yaml.push_str("init: /test-container\nargs:\n");
            for argument in arguments {
                yaml.push_str(&format!("  - {}\n", serde_json::json!(argument)));
            }
            if !self.fields.iter().any(|field| field.starts_with("io:")) {
                yaml.push_str("io:\n  stdout: pipe\n  stderr: pipe\n");
            }
        }
        if !self.mounts.is_empty() {
            yaml.push_str("mounts:\n");
            for (target, mount) in &self.mounts {
                yaml.push_str(&format!("  {target}: {mount}\n"));
            }
        }
        for field in &self.fields {
            yaml.push_str(field);
            yaml.push('\n');
        }
        yaml
    }

    /// Packs into `directory`, signed if there is a key, and returns the file.
    ///
    /// # Panics
    /// If the packer fails.
    pub fn pack(&self, directory: &Path, key: Option<&Path>) -> PathBuf {
        let work = tempfile::tempdir().expect("a temporary directory can be made");
        let root = work.path().join("root");
        fs::create_dir(&root).expect("the image's root can be made");
        if self.init.is_some() {
            let program = root.join("test-container");
            fs::copy(&programs().test_container, &program).expect("the test program can be copied");
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
                .expect("it can be made executable");
        }
        for (path, content) in &self.files {
            let path = root.join(path.trim_start_matches('/'));
            let parent = path.parent().expect("a file lies in a directory");
            fs::create_dir_all(parent).expect("the file's directory can be made");
            fs::write(path, content).expect("the file can be written");
        }
        for (path, target) in &self.links {
            std::os::unix::fs::symlink(target, root.join(path.trim_start_matches('/')))
                .expect("the link can be made");
        }
        let manifest = work.path().join("manifest.yaml");
        fs::write(&manifest, self.manifest()).expect("the manifest can be written");

        let output = directory.join(format!("{}-{}.npk", self.name, self.version));
        let mut command = Command::new(&programs().sextant);
        command
            .arg("pack")
            .arg("--manifest-path")
            .arg(&manifest)
            .arg("--root")
            .arg(&root);
        command.arg("--out").arg(&output);
        if let Some(key) = key {
            command.arg("--key").arg(key);
        }
        let result = command.output().expect("sextant runs");
        assert!(
            result.status.success(),
            "sextant pack failed: {}",
            String::from_utf8_lossy(&result.stderr)
        );
        output
    }
}

/// Flips the lowest bit of the byte at `offset`, in place.
///
/// # Panics
/// If the file has no such byte.
pub fn flip_bit(file: &Path, offset: u64) {
    let mut bytes = fs::read(file).expect("the file can be read");
    let index = usize::try_from(offset).expect("an offset fits");
    bytes[index] ^= 1;
    fs::write(file, bytes).expect("the file can be written");
}
