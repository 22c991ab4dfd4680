//! Where the programs under test are: built once per test run, or named by `NORTHSTAR_TEST_PROGRAMS`, a directory that
//! holds all of them (the VM tier sets it, because it must not compile under emulation).

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Directory with prebuilt programs: `northstar`, `nstar`, `sextant` and the static `test-container`.
pub const PROGRAMS_VARIABLE: &str = "NORTHSTAR_TEST_PROGRAMS";

/// The programs that the tests run.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The daemon.
    pub northstar: PathBuf,
    /// The operator command line.
    pub nstar: PathBuf,
    /// The packer.
    pub sextant: PathBuf,
    /// The statically linked program inside test containers.
    pub test_container: PathBuf,
}

/// Returns the programs, building them on the first call.
///
/// # Panics
/// If they can be neither found nor built: no test can mean anything then.
pub fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| match env::var_os(PROGRAMS_VARIABLE) {
        Some(directory) => in_directory(Path::new(&directory)),
        None => build(),
    })
}

fn in_directory(directory: &Path) -> Programs {
    let program = |name: &str| {
        let path = directory.join(name);
        assert!(
            path.is_file(),
            "{PROGRAMS_VARIABLE} has no {}",
            path.display()
        );
        path
    };
    Programs {
        northstar: program("northstar"),
        nstar: program("nstar"),
        sextant: program("sextant"),
        test_container: program("test-container"),
    }
}

fn build() -> Programs {
    let target = target_directory();
    cargo(
        &[
            "build",
            "-p",
            "northstar-runtime",
            "-p",
            "nstar",
            "-p",
            "sextant",
        ],
        None,
    );
    let triple = host_triple();
    cargo(
        &["build", "-p", "test-container", "--target", &triple],
        Some(&triple),
    );
    let debug = target.join("debug");
    Programs {
        northstar: debug.join("northstar"),
        nstar: debug.join("nstar"),
        sextant: debug.join("sextant"),
        test_container: target.join(triple).join("debug/test-container"),
    }
}

/// A program of `examples`, by the name of its folder: from the directory with prebuilt programs, or built now. Those of
/// containers are linked statically.
///
/// # Panics
/// If it can be neither found nor built.
#[must_use]
pub fn example(name: &str, is_container: bool) -> PathBuf {
    if let Some(directory) = env::var_os(PROGRAMS_VARIABLE) {
        let path = Path::new(&directory).join(name);
        assert!(path.is_file(), "{PROGRAMS_VARIABLE} has no {name}");
        return path;
    }
    let folder = workspace().join("examples").join(name);
    let folder = folder.canonicalize().expect("there is such an example");
    // The name alone may be that of a dependency too.
    let package = format!("path+file://{}", folder.display());
    if !is_container {
        cargo(&["build", "-p", &package], None);
        return target_directory().join("debug").join(name);
    }
    let triple = host_triple();
    cargo(
        &["build", "-p", &package, "--target", &triple],
        Some(&triple),
    );
    target_directory().join(triple).join("debug").join(name)
}

/// Runs cargo; a triple asks for a static program, which needs no libraries inside its container.
fn cargo(arguments: &[&str], static_for: Option<&str>) {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace());
    if let Some(triple) = static_for {
        let name = triple.to_uppercase().replace('-', "_");
        command.env(
            format!("CARGO_TARGET_{name}_RUSTFLAGS"),
            "-C target-feature=+crt-static -C strip=symbols",
        );
    }
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "cargo {arguments:?} failed: {status}");
}

/// The root of the repository.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn target_directory() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

fn host_triple() -> String {
    format!("{}-unknown-linux-gnu", env::consts::ARCH)
}
