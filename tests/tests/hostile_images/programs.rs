//! Programs that cannot be executed.

use northstar_tests::image::{Node, Tree};

use crate::{Case, EACCES, ELOOP, ENOENT, ENOEXEC, Expected, World};

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
