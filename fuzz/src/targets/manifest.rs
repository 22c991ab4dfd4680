//! The manifest.

use northstar_manifest::Manifest;

use super::{Target, leave};
use crate::keys::fixture;
use crate::memory;

/// The manifest.
pub static TARGET: Target = Target {
    name: "manifest",
    run,
    repair: leave,
    seeds,
    words: &[
        b"name: ",
        b"version: ",
        b"init: ",
        b"uid: ",
        b"gid: ",
        b"args:",
        b"env:",
        b"mounts:",
        b"  /dev:\n    type: dev\n",
        b"cgroups:",
        b"memory:",
        b"seccomp:",
        b"allow:",
        b"profile: default",
        b"capabilities:",
        b"  - CAP_KILL\n",
        b"rlimits:",
        b"sched:",
        b"sockets:",
        b"io:",
        b"custom:",
        b"console:",
        b"permissions: full",
        b"autostart: critical",
        b"network:",
        b"selinux:",
        b"suppl_groups: ",
        b"userns: true",
        b"!any ",
        b"!args ",
        b"!default",
        b"!!str ",
        b"<<: ",
        b"&a ",
        b"*a",
        b"{",
        b"}",
        b"[",
        b"]",
        b"- ",
        b": ",
        b"? ",
        b"| ",
        b"> ",
        b"\"",
        b"'",
        b"\n",
        b"\n---\n",
        b"%TAG ! tag:e,2000:\n",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\\x00",
        b"18446744073709551616",
        b".nan",
        b"0x7fffffff",
        b"1_000",
        b"~",
        b"no",
        b"1e309",
    ],
    limit: 2048,
};

/// Most memory in bytes that a manifest takes while it is read.
pub const LIMIT: usize = 8 * 1024 * 1024;

fn run(input: &[u8]) {
    let Ok(manifest) = memory::bounded(LIMIT, || Manifest::from_yaml(input)) else {
        return;
    };
    let text = manifest
        .to_yaml()
        .expect("an accepted manifest can be written");
    let again = Manifest::from_yaml(text.as_bytes());
    assert_eq!(again.as_ref().ok(), Some(&manifest), "{text}");
    let again = again.map(|again| again.to_yaml().ok());
    assert_eq!(again.ok().flatten(), Some(text));
}

fn seeds() -> Vec<Vec<u8>> {
    let reference = std::fs::File::open(fixture("app-gzip.npk")).expect("a fixture");
    let archive = northstar_npk::archive::Archive::read(&reference).expect("an archive");
    let mut seeds = vec![archive.manifest];
    seeds.push(b"name: a\nversion: 0.0.1\nuid: 1\ngid: 1\n".to_vec());
    seeds
}
