//! Limits on numbers and lengths: the limit itself is allowed, one more is not.

use super::{program, refusing::values::problem};
use crate::Problem;

/// `make(limit)` loads and `make(limit + 1)` does not.
fn limit(limit: usize, make: impl Fn(usize) -> String, expected: Problem) {
    let fields = make(limit);
    program(&fields).unwrap_or_else(|error| panic!("{limit}: {error}"));
    assert_eq!(problem(&make(limit + 1)).1, expected);
}

fn entries(count: usize, entry: impl Fn(usize) -> String) -> String {
    (0..count).map(entry).collect::<Vec<_>>().join(", ")
}

#[test]
fn numbers() {
    let many = |limit: usize| Problem::TooMany {
        count: limit + 1,
        limit,
    };
    limit(
        256,
        |n| format!("args: [{}]", entries(n, |i| format!("a{i}"))),
        many(256),
    );
    limit(
        64,
        |n| format!("env: {{{}}}", entries(n, |i| format!("A{i}: b"))),
        many(64),
    );
    limit(
        64,
        |n| format!("suppl_groups: [{}]", entries(n, |i| format!("g{i}"))),
        many(64),
    );
    limit(
        50,
        |n| {
            let values = entries(n, |i| i.to_string());
            format!("seccomp: {{allow: {{fork: !args {{index: 0, values: [{values}]}}}}}}")
        },
        many(50),
    );
    limit(
        64,
        |n| {
            format!(
                "sockets: {{{}}}",
                entries(n, |i| format!("s{i}: {{type: stream, mode: 1}}"))
            )
        },
        many(64),
    );
}

#[test]
fn lengths() {
    let long = |limit: usize| Problem::TooLong {
        length: limit + 1,
        limit,
    };
    limit(64, |n| format!("env: {{{}: b}}", "A".repeat(n)), long(64));
    limit(
        1024,
        |n| format!("env: {{A: {}}}", "b".repeat(n)),
        long(1024),
    );
    limit(
        64,
        |n| format!("suppl_groups: [{}]", "g".repeat(n)),
        long(64),
    );
    limit(
        256,
        |n| format!("network: !namespace {}", "n".repeat(n)),
        long(256),
    );
    limit(
        4095,
        |n| {
            format!(
                "mounts: {{/a: {{type: bind, host: /{}}}}}",
                "h".repeat(n - 1)
            )
        },
        long(4095),
    );
}
