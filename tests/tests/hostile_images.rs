//! Images that try to lead the runtime astray: nothing on the host changes, the daemon lives, and each start answers
//! exactly what it should.
//!
//! One daemon for the whole matrix, with a repository without key, because such an image needs no signature.

use std::{collections::BTreeMap, fs, path::Path};

use northstar_tests::{
    Canary, Daemon, Failure, Site,
    image::{Node, Tree},
    raw,
};
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

/// Each kind of mount, as the manifest asks for it at `/mnt/target`.
fn kinds(world: &World) -> Vec<(&'static str, String)> {
    let bind = format!(
        "{{type: bind, host: {}, options: rw}}",
        world.canary().display()
    );
    [
        ("proc", "{type: proc}"),
        ("sysfs", "{type: sysfs}"),
        ("dev", "{type: dev}"),
        ("tmpfs", "{type: tmpfs, size: 64KiB}"),
        ("bind", bind.as_str()),
        ("persist", "{type: persist}"),
        (
            "resource",
            "{type: resource, name: message, version: '*', dir: /, options: ''}",
        ),
        ("sockets", "{type: sockets}"),
    ]
    .map(|(name, mount)| (name, mount.to_owned()))
    .to_vec()
}

/// A name, what is in the image, and the errno of mounting on `/mnt/target`.
type Target = (&'static str, Vec<(&'static str, Node)>, i32);

/// Every kind of mount, onto every kind of target that is no directory of the image.
#[test]
fn no_mount_follows_a_hostile_target() {
    let world = World::new();
    world.site.pack(&northstar_tests::Package::resource(
        "message", "0.0.1", "text", "hello",
    ));
    let outside = world.outside("inside");
    let targets: Vec<Target> = vec![
        (
            "absolute",
            vec![("/mnt/target", Node::link(&outside))],
            ELOOP,
        ),
        (
            "relative",
            vec![(
                "/mnt/target",
                Node::link(format!("../../../../../..{outside}")),
            )],
            ELOOP,
        ),
        (
            "chain",
            vec![
                ("/mnt/target", Node::link("second")),
                ("/mnt/second", Node::link(&outside)),
            ],
            ELOOP,
        ),
        (
            "magic",
            vec![("/mnt/target", Node::link("/proc/self/root/proc/1/root"))],
            ELOOP,
        ),
        ("loop", vec![("/mnt/target", Node::link("target"))], ELOOP),
        (
            "inside",
            vec![
                ("/mnt/target", Node::link("/dir")),
                ("/dir", Node::Directory(0o755)),
            ],
            ELOOP,
        ),
        ("pipe", vec![("/mnt/target", Node::Fifo)], EINVAL),
        ("file", vec![("/mnt/target", Node::file("x"))], EINVAL),
        (
            "device",
            vec![("/mnt/target", Node::Character(1, 3))],
            EINVAL,
        ),
        ("missing", vec![("/mnt", Node::Directory(0o755))], ENOENT),
        (
            "parent-absolute",
            vec![("/mnt", Node::link(&outside))],
            ENOENT,
        ),
        (
            "parent-relative",
            vec![("/mnt", Node::link("../../../../.."))],
            ENOENT,
        ),
        (
            "parent-magic",
            vec![("/mnt", Node::link("/proc/1/root"))],
            ENOENT,
        ),
        ("parent-pipe", vec![("/mnt", Node::Fifo)], ENOTDIR),
        ("parent-loop", vec![("/mnt", Node::link("/mnt"))], ELOOP),
    ];
    let mut cases = Vec::new();
    for (kind, mount) in kinds(&world) {
        for (target, nodes, errno) in &targets {
            let tree = nodes.iter().fold(Tree::runnable(), |tree, (path, node)| {
                tree.with(path, node.clone())
            });
            let manifest = format!("mounts:\n  /dev: {{type: dev}}\n  /mnt/target: {mount}");
            cases.push(Case::new(
                format!("{kind}-{target}"),
                tree,
                manifest,
                Expected::Step("mount", *errno),
            ));
        }
    }
    assert!(cases.len() >= 60, "{}", cases.len());
    world.run(cases);
}

/// What the first program of a container must not be.
#[test]
fn no_hostile_program_is_executed() {
    let world = World::new();
    let mut foreign = vec![0; 4096];
    // The header of an ELF file for MIPS, elf(5).
    foreign[..20].copy_from_slice(&[
        0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 8, 0,
    ]);
    let script = |interpreter: &str| Node::File(format!("#!{interpreter}\n").into_bytes(), 0o755);
    let program = world.outside("program");
    let rows: Vec<(&str, Node, i32)> = vec![
        ("missing", Node::Directory(0o755), EACCES),
        ("host-absolute", Node::link(&program), ENOENT),
        (
            "host-relative",
            Node::link(format!("../../../..{program}")),
            ENOENT,
        ),
        ("host-magic", Node::link("/proc/1/root/bin/sh"), EACCES),
        ("loop", Node::link("/program"), ELOOP),
        ("directory", Node::Directory(0o755), EACCES),
        ("pipe", Node::Fifo, EACCES),
        ("socket", Node::Socket, EACCES),
        ("character-device", Node::Character(1, 5), EACCES),
        ("block-device", Node::Block(7, 0), EACCES),
        ("not-executable", Node::Program(0o644), EACCES),
        ("no-permission", Node::Program(0o700), EACCES),
        ("empty", Node::File(Vec::new(), 0o755), ENOEXEC),
        ("text", Node::File(b"echo hello\n".to_vec(), 0o755), ENOEXEC),
        ("foreign", Node::File(foreign.clone(), 0o755), ENOEXEC),
        ("short", Node::File(foreign[..16].to_vec(), 0o755), ENOEXEC),
        ("script-missing", script("/bin/sh"), ENOENT),
        ("script-host", script(&program), ENOENT),
        ("script-magic", script("/proc/1/exe"), EACCES),
        ("script-itself", script("/program"), ELOOP),
        ("script-relative", script("../../../../bin/sh"), ENOENT),
        ("script-directory", script("/dev"), EACCES),
        (
            "script-long",
            script(&format!("/{}", "x".repeat(300))),
            ENOEXEC,
        ),
    ];
    let cases = rows
        .into_iter()
        .map(|(name, node, errno)| {
            let tree = Tree::runnable().with("/program", node);
            Case::new(
                format!("init-{name}"),
                tree,
                "init: /program",
                Expected::Step("execve", errno),
            )
        })
        .collect();
    world.run(cases);
}

/// Images whose superblock says something else than what follows it: squashfs 4.0, all numbers little endian.
#[test]
fn no_corrupted_image_is_mounted() {
    let world = World::new();
    let good = Tree::runnable().pack();
    let rows: Vec<(&str, usize, Vec<u8>)> = vec![
        ("magic", 0, vec![0; 4]),
        ("block-size-zero", 12, vec![0; 4]),
        ("block-size-odd", 12, vec![1, 2, 3, 0]),
        ("block-size-huge", 12, vec![0, 0, 0, 0x80]),
        ("block-log", 22, vec![63, 0]),
        ("compression", 20, vec![99, 0]),
        ("version", 28, vec![9, 0]),
        ("root-inode", 32, vec![0xff; 8]),
        ("size-huge", 40, vec![0xff; 7]),
        ("size-zero", 40, vec![0; 8]),
        ("id-table", 48, vec![0xff, 0xff, 0xff, 0x7f]),
        ("inode-table", 64, vec![0xff, 0xff, 0xff, 0x7f]),
        ("directory-table", 72, vec![0xff, 0xff, 0xff, 0x7f]),
        ("fragment-count", 16, vec![0xff, 0xff, 0xff, 0x7f]),
        (
            "noise",
            0,
            (0..96)
                .map(|byte: u32| (byte.wrapping_mul(2_654_435_761) >> 24) as u8)
                .collect(),
        ),
        ("empty", 0, vec![0; 4096]),
    ];
    let count = rows.len();
    for (name, offset, bytes) in rows {
        let mut image = good.clone();
        image[offset..offset + bytes.len()].copy_from_slice(&bytes);
        install(&world, name, &image);
    }
    install(&world, "short", &good[..4096]);
    install(&world, "zeros", &vec![0; good.len()]);

    let mut daemon = world.site.start();
    let mut console = daemon.console();
    let listed = console.request(&json!("list"));
    let listed = listed
        .pointer("/list")
        .and_then(Value::as_array)
        .unwrap()
        .clone();
    assert_eq!(listed.len(), count + 2, "{listed:?}");
    for container in listed {
        let container = container.as_str().unwrap();
        let answer = console.mount(container);
        let error = answer.pointer("/error/error");
        let text = error.and_then(|error| error.pointer("/unexpected/error"));
        assert!(text.is_some_and(Value::is_string), "{container}: {answer}");
        world.canary.assert_untouched(container);
        assert!(daemon.is_running(), "the daemon died of {container}");
    }
    assert_eq!(daemon.mounts(), Vec::<std::path::PathBuf>::new());
    daemon.stop();
}

fn install(world: &World, name: &str, image: &[u8]) {
    let case = Case::new(format!("broken-{name}"), Tree::default(), "", ran());
    let package = raw::unsigned(case.manifest().as_bytes(), image);
    fs::write(world.site.path().join(format!("open/{name}.npk")), package).unwrap();
}

/// What is in an image by malice or by mistake does not reach further than the container.
#[test]
fn no_content_of_an_image_gives_more_than_the_manifest() {
    let world = World::new();
    let prints =
        |lines: &[&str]| Expected::Prints(lines.iter().map(|line| (*line).to_owned()).collect());
    let block = Tree::runnable()
        .with("/disk", Node::Block(254, 0))
        .with("/loop", Node::Block(7, 0))
        .with("/mem", Node::Character(1, 1))
        .with("/null", Node::Character(1, 3));
    let deep = (0..200).map(|_| "d/").collect::<String>();
    let cases = vec![
        // Nodes of devices cannot be opened, whatever their mode: not even the harmless ones.
        Case::new(
            "devices",
            block,
            "",
            prints(&[
                "/disk error 13",
                "/loop error 13",
                "/mem error 13",
                "/null error 13",
            ]),
        )
        .arguments(&["cat", "/disk", "/loop", "/mem", "/null"]),
        // Links lead nowhere but into the image.
        Case::new(
            "links",
            Tree::runnable()
                .with("/absolute", Node::link(world.outside("text")))
                .with(
                    "/relative",
                    Node::link(format!("../../../..{}", world.outside("text"))),
                ),
            "",
            prints(&["/absolute error 2", "/relative error 2"]),
        )
        .arguments(&["cat", "/absolute", "/relative"]),
        // An image's own /proc and /dev are hidden by the real ones.
        Case::new(
            "fake-proc",
            Tree::runnable()
                .with("/proc/version", Node::file("forged"))
                .with("/dev/null", Node::link("/proc/sys/kernel/core_pattern")),
            "",
            prints(&["/proc/self/oom_score_adj 0"]),
        )
        .arguments(&["cat", "/proc/self/oom_score_adj"]),
        Case::new(
            "deep",
            Tree::runnable().with(&format!("/{deep}file"), Node::file("deep")),
            "",
            ran(),
        ),
        Case::new(
            "long-name",
            Tree::runnable().with(&format!("/{}", "n".repeat(255)), Node::file("long")),
            "",
            ran(),
        ),
        Case::new(
            "newline-name",
            Tree::runnable().with("/a\nb\u{1b}[2J", Node::file("odd")),
            "",
            ran(),
        ),
        Case::new(
            "many-files",
            (0..2000).fold(Tree::runnable(), |tree, number| {
                tree.with(&format!("/files/{number}"), Node::file("x"))
            }),
            "",
            ran(),
        ),
    ];
    world.run(cases);
}

/// Images as real systems have them must work: strictness that breaks them would be switched off.
#[test]
fn usual_images_work() {
    let world = World::new();
    let merged = Tree::runnable()
        .without("/test-container")
        .with("/usr/bin/test-container", Node::Program(0o755))
        .with("/bin", Node::link("usr/bin"));
    let run = || Tree::runnable().with("/run", Node::Directory(0o755));
    let mounts = |target: &str| {
        format!(
            "mounts:\n  /dev: {{type: dev}}\n  /proc: {{type: proc}}\n  {target}: {{type: tmpfs, size: 64KiB}}"
        )
    };
    let touched = |path: &str| Expected::Prints(vec![format!("{path} touched")]);
    let cases = vec![
        Case::new("merged-usr", merged, "init: /bin/test-container", ran()),
        Case::new(
            "var-run-absolute",
            run()
                .with("/run/app", Node::Directory(0o755))
                .with("/var/run", Node::link("/run")),
            mounts("/var/run/app"),
            touched("/run/app/file"),
        )
        .arguments(&["touch", "/run/app/file"]),
        Case::new(
            "var-run-relative",
            run()
                .with("/run/app", Node::Directory(0o755))
                .with("/var/run", Node::link("../run")),
            mounts("/var/run/app"),
            touched("/var/run/app/file"),
        )
        .arguments(&["touch", "/var/run/app/file"]),
        Case::new(
            "closed-parents",
            Tree::runnable()
                .with("/srv", Node::Directory(0o711))
                .with("/srv/private", Node::Directory(0o711))
                .with("/srv/private/app", Node::Directory(0o755)),
            mounts("/srv/private/app"),
            touched("/srv/private/app/file"),
        )
        .arguments(&["touch", "/srv/private/app/file"]),
        Case::new(
            "mount-below-mount",
            Tree::runnable().with("/tmp", Node::Directory(0o755)),
            mounts("/tmp").replace("  /tmp", "  /tmp/a/b: {type: tmpfs, size: 4KiB}\n  /tmp"),
            touched("/tmp/a/b/file"),
        )
        .arguments(&["touch", "/tmp/a/b/file"]),
    ];
    world.run(cases);
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
