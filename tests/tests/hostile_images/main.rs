//! Images that try to lead the runtime astray: nothing on the host changes, the daemon lives, and each start answers
//! exactly what it should.
//!
//! One daemon for the whole matrix, with a repository without key, because such an image needs no signature.

mod contents;
mod programs;
mod superblocks;
mod targets;

use std::{collections::BTreeMap, fs, path::Path};

use northstar_tests::{Canary, Daemon, Failure, Site, image::Tree, raw};
use serde_json::{Value, json};

const ENOENT: i32 = 2;
const ENOEXEC: i32 = 8;
const EACCES: i32 = 13;
const ENOTDIR: i32 = 20;
const EINVAL: i32 = 22;
const ELOOP: i32 = 40;

/// What must come of a start.
#[derive(Debug, Clone, PartialEq)]
enum Expected {
    /// It fails at this step of docs/start.md with this errno.
    Step(&'static str, i32),
    /// A mount of the image itself fails.
    Mount,
    /// It runs and prints this.
    Prints(Vec<String>),
}

/// A container to be, and what must come of it.
struct Case {
    name: String,
    tree: Tree,
    /// More lines of the manifest.
    manifest: String,
    arguments: Vec<String>,
    expected: Expected,
}

impl Case {
    fn new(
        name: impl Into<String>,
        tree: Tree,
        manifest: impl Into<String>,
        expected: Expected,
    ) -> Self {
        let arguments = vec!["exit".to_owned(), "0".to_owned()];
        Self {
            name: name.into(),
            tree,
            manifest: manifest.into(),
            arguments,
            expected,
        }
    }

    fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    fn manifest(&self) -> String {
        let Self {
            name,
            manifest,
            arguments,
            ..
        } = self;
        let init = if manifest.contains("init: ") {
            ""
        } else {
            "init: /test-container\n"
        };
        let mounts = if manifest.contains("mounts:") {
            ""
        } else {
            "mounts: {/proc: {type: proc}, /dev: {type: dev}}\n"
        };
        format!(
            "name: {name}\nversion: 0.0.1\nuid: 1000\ngid: 1000\n{init}{mounts}args: {}\nio: {{stdout: pipe, stderr: pipe}}\n{manifest}\n",
            json!(arguments)
        )
    }
}

/// A daemon with a repository without key, and something of the host to look after.
struct World {
    site: Site,
    canary: Canary,
}

impl World {
    fn new() -> Self {
        let site = Site::new();
        let site =
            site.tables("[repositories.open]\ntype = { fs = { dir = \"DIRECTORY/open\" } }\n");
        fs::create_dir(site.path().join("open")).unwrap();
        let canary = Canary::new(site.path());
        Self { site, canary }
    }

    /// Starts each case and holds what comes of it against what is expected.
    fn run(&self, cases: Vec<Case>) {
        // Many cases share a tree.
        let mut images = BTreeMap::new();
        for case in &cases {
            let image = images
                .entry(format!("{:?}", case.tree))
                .or_insert_with(|| case.tree.pack());
            let package = raw::unsigned(case.manifest().as_bytes(), image);
            fs::write(
                self.site.path().join(format!("open/{}.npk", case.name)),
                package,
            )
            .unwrap();
        }
        let mut daemon = self.site.start();
        let pid = daemon.pid();
        let mut wrong = Vec::new();
        for case in &cases {
            let found = outcome(&daemon, case);
            if found != case.expected {
                wrong.push(format!(
                    "{}: {found:?} instead of {:?}",
                    case.name, case.expected
                ));
            }
            self.canary.assert_untouched(&case.name);
            assert!(daemon.is_running(), "the daemon died of {}", case.name);
        }
        assert_eq!(daemon.pid(), pid);
        assert!(
            wrong.is_empty(),
            "{} of {}:\n{}",
            wrong.len(),
            cases.len(),
            wrong.join("\n")
        );
        daemon.stop();
        self.canary.assert_untouched("the end of the daemon");
    }

    /// A path on the host, as an image would name it.
    fn outside(&self, below: &str) -> String {
        self.canary.path().join(below).display().to_string()
    }

    fn canary(&self) -> &Path {
        self.canary.path()
    }
}

fn outcome(daemon: &Daemon, case: &Case) -> Expected {
    let container = format!("{}:0.0.1", case.name);
    let mut console = daemon.console();
    let answer = console.start(&container);
    if answer == json!({"start": {"ok": {"container": container}}}) {
        let status = console.expect_exit(&container);
        assert_eq!(status, json!({"exit": {"code": 0}}), "{container}");
        return Expected::Prints(daemon.complete_output(&container));
    }
    let text = answer
        .pointer("/start/error/error/start_container_failed/error")
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("start of {container} answered {answer}"));
    let Failure { step, errno, .. } = Failure::read(text);
    if step == "mount" && text.starts_with("mount of ") {
        return Expected::Mount;
    }
    let known = ["mount", "execve", "root", "compare"];
    let name = known.into_iter().find(|name| *name == step);
    Expected::Step(
        name.unwrap_or_else(|| panic!("start of {container}: {text}")),
        errno,
    )
}

fn ran() -> Expected {
    Expected::Prints(Vec::new())
}

#[test]
fn numbers_of_errors_are_those_of_this_machine() {
    use nix::errno::Errno;
    let names = [
        Errno::ENOENT,
        Errno::ENOEXEC,
        Errno::EACCES,
        Errno::ENOTDIR,
        Errno::EINVAL,
        Errno::ELOOP,
    ];
    assert_eq!(
        names.map(|errno| errno as i32),
        [ENOENT, ENOEXEC, EACCES, ENOTDIR, EINVAL, ELOOP]
    );
}
