//! Mounts onto targets that are no directories of the image.

use northstar_tests::{
    Package,
    image::{Node, Tree},
};

use crate::{Case, EINVAL, ELOOP, ENOENT, ENOTDIR, Expected, World};

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
    world
        .site
        .pack(&Package::resource("message", "0.0.1", "text", "hello"));
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
