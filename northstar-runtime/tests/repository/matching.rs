//! Which package answers to a requirement.

use std::fs;

use northstar_runtime::repository::newest_match;

use crate::{
    fixture::{open, unkeyed},
    support::Env,
};

#[test]
fn the_newest_version_that_matches_is_taken() {
    let env = Env::new();
    // The order of names of files is not the order of versions.
    for version in [
        "0.9.0",
        "1.0.0",
        "1.2.0",
        "1.10.0",
        "1.11.0-rc.1",
        "2.0.0-beta.1",
        "2.0.0-beta.2",
    ] {
        env.unsigned(&format!("lib:{version}"));
    }
    env.unsigned("other:1.99.0");
    fs::copy(env.unsigned("lib:3.0.0"), env.path("packages/0.npk")).unwrap();
    fs::remove_file(env.path("packages/lib-3.0.0.npk")).unwrap();

    let repository = open(&unkeyed(&env.path("packages")));
    let newest = |name: &str, requirement: &str| {
        newest_match(
            repository.packages(),
            &name.parse().unwrap(),
            &requirement.parse().unwrap(),
        )
        .map(|package| package.container.version().to_string())
    };
    for (requirement, expected) in [
        ("*", Some("3.0.0")),
        ("1", Some("1.10.0")),
        ("^1.2", Some("1.10.0")),
        (">=0.9, <1.5", Some("1.2.0")),
        ("=1.0.0", Some("1.0.0")),
        ("~1.2", Some("1.2.0")),
        ("0.9", Some("0.9.0")),
        ("0.8", None),
        // A pre-release answers only to a requirement that names one of the same version.
        ("^2", None),
        (">=2.0.0-beta.1, <2.0.1", Some("2.0.0-beta.2")),
        (">=1.11.0-alpha, <2", Some("1.11.0-rc.1")),
        ("4", None),
    ] {
        assert_eq!(
            newest("lib", requirement).as_deref(),
            expected,
            "{requirement}"
        );
    }
    assert_eq!(newest("nothing", "*"), None);
}
