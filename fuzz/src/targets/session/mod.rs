//! The session of the console: a client that says anything, the real connection in memory, and a
//! supervisor that the target plays. The clock stands still while anybody has something to do.
//!
//! The input is a recipe: who speaks and how ([`play`]), then the bytes of the client.

mod check;
mod fits;
mod model;
mod play;
mod stage;

use super::{Target, leave};
use crate::memory;
use play::Play;

/// The session of the console.
pub static TARGET: Target = Target {
    name: "session",
    run,
    repair: leave,
    seeds,
    words: WORDS,
    limit: 5000,
};

const WORDS: &[&[u8]] = &[
    b"{\"connect\":{\"version\":\"0.9.2\",\"subscribe_notifications\":true}}\n",
    b",\"extensions\":{\"ids\":true,\"jobs\":true,\"sequence\":true,\"details\":true}",
    b"\"filter\":{\"containers\":[\"a*\"],\"kinds\":[\"started\"]}",
    b"\"resume\":{\"instance\":\"\",\"sequence\":0}",
    b"{\"request\":\"list\"}\n",
    b"{\"request\":\"ident\"}\r\n",
    b"{\"request\":\"shutdown\"}\n",
    b"{\"request\":\"repositories\"}\n",
    b"{\"request\":\"repository_details\"}\n",
    b"{\"id\":7,\"request\":",
    b"{\"id\":8,\"request\":{\"cancel\":{\"id\":7}}}\n",
    b"{\"request\":{\"mount\":{\"containers\":[\"a:0.0.1\",\"b:0.0.1\"]}}}\n",
    b"{\"request\":{\"umount\":{\"containers\":[]}}}\n",
    b"{\"request\":{\"statistics\":{\"containers\":[\"a:0.0.1\"]}}}\n",
    b"{\"request\":{\"install\":{\"repository\":\"default\",\"size\":3}}}\nabc",
    b"\"repository\":\"deaf\"",
    b"\"repository\":\"full\"",
    b"\"size\":",
    b"\"container\":\"a:0.0.1\"",
    b"\n",
    b"{",
    b"}",
];

/// Most memory in bytes: what a connection may hold, and everything that was said and asked twice.
const LIMIT: usize = 1024 * 1024;

fn run(input: &[u8]) {
    let play = Play::of(input);
    let expected = model::expected(&play);
    let heard = memory::bounded(LIMIT, || play.perform());
    check::check(&play, &expected, &heard);
}

const CONNECT: &str = r#"{"connect":{"version":"0.9.2","subscribe_notifications":false}}"#;
const SUBSCRIBE: &str = r#"{"connect":{"version":"0.9.2","subscribe_notifications":true}}"#;
const EXTENDED: &str = r#"{"connect":{"version":"0.9.2","subscribe_notifications":true,"extensions":{"ids":true,"jobs":true,"sequence":true,"details":true,"filter":{"containers":["a*","new"],"kinds":[]}}}}"#;

/// A conversation without ids.
const PLAIN: &[&str] = &[
    r#"{"request":"ident"}"#,
    r#"{"request":"list"}"#,
    r#"{"request":"repositories"}"#,
    r#"{"request":{"inspect":{"container":"a:0.0.1"}}}"#,
    r#"{"request":{"mount":{"containers":["a:0.0.1","b:0.0.1","ab:0.0.2"]}}}"#,
    r#"{"request":{"start":{"container":"a:0.0.1"}}}"#,
    r#"{"request":{"start":{"container":"a:0.0.1","init":"/i","arguments":["x"],"environment":{"A":"b"}}}}"#,
    r#"{"request":{"kill":{"container":"a:0.0.1","signal":15}}}"#,
    r#"{"request":{"umount":{"containers":["a:0.0.1"]}}}"#,
    r#"{"request":{"uninstall":{"container":"a:0.0.1","wipe":true}}}"#,
    r#"{"request":{"token_create":{"target":"a","shared":"AQID"}}}"#,
    r#"{"request":{"token_verify":{"token":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==","user":"a","shared":""}}}"#,
    r#"{"request":"shutdown"}"#,
];

/// One with ids.
const WITH_IDS: &[&str] = &[
    r#"{"id":1,"request":{"mount":{"containers":["a:0.0.1","b:0.0.1","ab:0.0.2"]}}}"#,
    r#"{"id":2,"request":{"start":{"container":"a:0.0.1"}}}"#,
    r#"{"id":3,"request":{"cancel":{"id":1}}}"#,
    r#"{"id":2,"request":"list"}"#,
    r#"{"id":4,"request":{"statistics":{}}}"#,
    r#"{"request":"repository_details"}"#,
    r#"{"id":5,"request":{"uninstall":{"container":"b:0.0.1","wipe":false}}}"#,
    r#"{"id":18446744073709551615,"request":"shutdown"}"#,
];

fn seeds() -> Vec<Vec<u8>> {
    let seed_with = |flags: u16, permissions: u16, pieces: u8, lines: &[&str]| {
        let mut seed = flags.to_le_bytes().to_vec();
        seed.extend(permissions.to_le_bytes());
        seed.extend([pieces, 0, 0]);
        for line in lines {
            seed.extend(line.as_bytes());
            seed.push(b'\n');
        }
        seed
    };
    let seed = |flags, pieces, lines: &[&str]| seed_with(flags, u16::MAX, pieces, lines);
    let installs = |connect: &'static str, id: &str| {
        let mut all = vec![connect.to_owned()];
        for (repository, package) in [
            ("default", "a package"),
            ("deaf", "no"),
            ("full", ""),
            ("none", "x"),
        ] {
            let size = package.len() + 1;
            all.push(format!(
                r#"{{{id}"request":{{"install":{{"repository":"{repository}","size":{size}}}}}}}"#
            ));
            all.push(package.to_owned());
        }
        all
    };
    let mut seeds = Vec::new();
    // By itself, as a container, with small limits, lazy, narrow, gone, staying, slow, ending the daemon, forgetful.
    for flags in [1, 3, 5, 9, 17, 33, 65, 129, 257, 513, 0] {
        for connect in [CONNECT, SUBSCRIBE, EXTENDED] {
            seeds.push(seed(flags, 16, &[&[connect], PLAIN].concat()));
        }
        seeds.push(seed(flags, 255, &[&[EXTENDED], WITH_IDS].concat()));
    }
    for (connect, id) in [(CONNECT, ""), (EXTENDED, "\"id\":9,")] {
        let lines = installs(connect, id);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        seeds.push(seed(1, 8, &lines));
        seeds.push(seed(5, 255, &lines));
    }
    // With some permissions only, or none.
    for permissions in [0, 0x5555, 0x2aaa] {
        for connect in [CONNECT, SUBSCRIBE] {
            seeds.push(seed_with(0, permissions, 64, &[&[connect], PLAIN].concat()));
        }
        seeds.push(seed_with(2, permissions, 64, &[&[CONNECT], PLAIN].concat()));
    }
    // Refused.
    for connect in [
        r#"{"connect":{"version":"1.0.0","subscribe_notifications":true}}"#,
        r#"{"connect":{"version":"0.9.2","subscribe_notifications":true,"extensions":{"filter":{"containers":["["]}}}}"#,
        r#"{"connect":{"version":"0.9.2","subscribe_notifications":true,"extensions":7}}"#,
        r#"{"request":"list"}"#,
        "",
    ] {
        seeds.push(seed(1, 255, &[connect]));
        seeds.push(seed(0, 255, &[connect]));
    }
    seeds
}
