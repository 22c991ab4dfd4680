//! What an image brings along: device nodes, a `/proc` and a `/dev` of its own, privileged files.

use std::fs;

use northstar_tests::{
    Canary, Site,
    image::{Node, Tree},
    raw,
};
use serde_json::json;

use crate::run;

/// A package whose image is made by hand, in a repository without key.
fn run_image(tree: &Tree, fields: &str, arguments: &[&str]) -> Vec<String> {
    let site =
        Site::new().tables("[repositories.open]\ntype = { fs = { dir = \"DIRECTORY/open\" } }\n");
    fs::create_dir(site.path().join("open")).unwrap();
    let manifest = format!(
        "name: app\nversion: 0.0.1\nuid: 1000\ngid: 1000\ninit: /test-container\nargs: {}\n\
         io: {{stdout: pipe, stderr: pipe}}\n{fields}\n",
        json!(arguments)
    );
    let package = raw::unsigned(manifest.as_bytes(), &tree.pack());
    fs::write(site.path().join("open/app.npk"), package).unwrap();
    let canary = Canary::new(site.path());
    let daemon = site.start();
    let output = run(&daemon, "app:0.0.1");
    daemon.stop();
    canary.assert_untouched("the container");
    output
}

const MOUNTS: &str = "mounts: {/proc: {type: proc}, /dev: {type: dev}}";

/// Not even who may make device nodes and ignore modes opens one of an image.
#[test]
fn device_nodes_of_an_image_stay_closed() {
    let tree = Tree::runnable()
        .with("/loop", Node::Block(7, 0))
        .with("/disk", Node::Block(254, 0))
        .with("/null", Node::Character(1, 3));
    let fields = format!("capabilities: [CAP_DAC_OVERRIDE, CAP_MKNOD, CAP_SYS_RAWIO]\n{MOUNTS}");
    let output = run_image(&tree, &fields, &["cat", "/loop", "/disk", "/null"]);
    assert_eq!(
        output,
        ["/loop error 13", "/disk error 13", "/null error 13"]
    );
}

/// An image that brings links and files where the runtime's own `/proc` and `/dev` belong: masks hold, and the switch of
/// the host that `/dev/null` pointed at is what it was.
#[test]
fn image_brings_its_own_proc_and_null_device() {
    let pattern = || fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let before = pattern();
    let tree = Tree::runnable()
        .with("/dev/null", Node::link("/proc/sys/kernel/core_pattern"))
        .with("/proc/keys", Node::file("forged"))
        .with("/proc/self/attr/exec", Node::file("forged"));
    let masked = ["cat", "/proc/keys", "/proc/timer_list"];
    let output = run_image(&tree, MOUNTS, &masked);
    let is_masked = |line: &String| line.ends_with(' ') || line.ends_with(" error 2");
    assert!(
        output.len() == 2 && output.iter().all(is_masked),
        "{output:?}"
    );

    // Without a /dev of the runtime the link is what it is, and leads to a read-only switch.
    let fields = "mounts: {/proc: {type: proc}}\ncapabilities: [CAP_DAC_OVERRIDE]";
    let output = run_image(&tree, fields, &["write", "/dev/null", "|/escape"]);
    assert_eq!(output, ["/dev/null error 30"]);
    assert_eq!(pattern(), before);
}

/// A set-user-id bit and a file capability of an image are worth nothing.
#[test]
fn privileged_files_of_an_image_gain_nothing() {
    let tree = Tree::runnable()
        .with("/setuid", Node::Program(0o6755))
        .with("/capable", Node::Program(0o755))
        .capable("/capable");
    for program in ["/setuid", "/capable"] {
        let output = run_image(&tree, MOUNTS, &["execute", program, "identity"]);
        for fact in [
            "Uid: 1000 1000 1000 1000",
            "Gid: 1000 1000 1000 1000",
            "CapPrm: 0000000000000000",
            "CapEff: 0000000000000000",
            "CapAmb: 0000000000000000",
            "NoNewPrivs: 1",
        ] {
            assert!(output.contains(&fact.to_owned()), "{program}: {output:?}");
        }
    }
}
