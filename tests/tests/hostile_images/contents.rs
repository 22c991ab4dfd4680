//! Files of an image: what they must not give, and what has to work.

use northstar_tests::image::{Node, Tree};

use crate::{Case, Expected, World, ran};

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
