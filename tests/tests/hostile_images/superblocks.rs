//! Images that are none.

use std::{fs, path::PathBuf};

use northstar_tests::{image::Tree, raw};
use serde_json::{Value, json};

use crate::{Case, World, ran};

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
    assert_eq!(daemon.mounts(), Vec::<PathBuf>::new());
    daemon.stop();
}

fn install(world: &World, name: &str, image: &[u8]) {
    let case = Case::new(format!("broken-{name}"), Tree::default(), "", ran());
    let package = raw::unsigned(case.manifest().as_bytes(), image);
    fs::write(world.site.path().join(format!("open/{name}.npk")), package).unwrap();
}
