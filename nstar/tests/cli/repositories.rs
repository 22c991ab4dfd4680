//! Repositories, and which of them takes a package.

use crate::daemon::{DETAILS, Daemon, Step, ok, stdout};

const ASKED: &str = r#""repository_details""#;

fn told(repositories: &str) -> Step {
    Step::Answer(
        ASKED,
        format!(r#"{{"repository_details":[{repositories}]}}"#).leak(),
    )
}

const DISK: &str = r#"{"repository":"disk","type":"fs","keyed":true,"integrity":"dm-verity"}"#;
const MORE: &str = r#"{"repository":"more","type":"fs","keyed":true,"integrity":"full-read"}"#;
const DEFAULT: &str = r#"{"repository":"default","type":"mem","keyed":false,"integrity":"none"}"#;

#[test]
fn the_table_tells_what_they_are() {
    let steps = vec![told(&[MORE, DISK, DEFAULT].join(","))];
    let output = Daemon::answering(DETAILS, steps).run(&["repositories"]);
    let expected = "\
NAME     TYPE  KEY  INTEGRITY
default  mem   no   none
disk     fs    yes  dm-verity
more     fs    yes  full-read
";
    assert_eq!(stdout(&output), expected, "{output:?}");
    // With --json it is the plain request.
    let line = r#"{"repositories":["s","r"]}"#;
    let steps = vec![Step::Answer(r#""repositories""#, line)];
    assert_eq!(
        ok(&["--json", "repositories"], steps),
        format!("{{\"response\":{line}}}\n")
    );
}

#[test]
fn a_package_goes_to_the_only_one_on_disk_or_to_the_default() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npk");
    std::fs::write(&path, b"package").unwrap();
    let path = path.to_str().unwrap();
    for (repositories, chosen) in [
        ([DEFAULT, DISK].join(","), "disk"),
        ([DISK, MORE, DEFAULT].join(","), "default"),
        (DEFAULT.to_owned(), "default"),
    ] {
        let request = format!(r#"{{"install":{{"repository":"{chosen}","size":7}}}}"#);
        let answer = r#"{"install":{"ok":{"container":$C}}}"#;
        let steps = || {
            let install = Step::Install(request.clone(), b"package", answer);
            vec![told(&repositories), install]
        };
        let output = Daemon::answering(DETAILS, steps()).run(&["install", path]);
        assert_eq!(
            stdout(&output),
            format!("installed a:0.0.1 in {chosen}\n"),
            "{output:?}"
        );
        // How answers are printed has no say in it.
        let output = Daemon::answering(DETAILS, steps()).run(&["--json", "install", path]);
        assert_eq!(
            stdout(&output),
            "{\"response\":{\"install\":{\"ok\":{\"container\":\"a:0.0.1\"}}}}\n",
            "{output:?}"
        );
    }
    for (repositories, code, word) in [
        ([DISK, MORE].join(","), 2, "disk, more"),
        (String::new(), 1, "has no repository"),
    ] {
        let output = Daemon::answering(DETAILS, vec![told(&repositories)]).run(&["install", path]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(word), "{stderr}");
    }
}
