//! Repositories: whatever lies in their directories, the daemon starts; what is acknowledged is there.

use std::{
    fs,
    io::Write,
    os::unix::{fs::symlink, net::UnixStream},
    path::Path,
};

use northstar_tests::{Package, Site, eventually};
use serde_json::json;

fn packages_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".npk"))
        .collect();
    names.sort();
    names
}

/// A client that is about to send a package of `size` bytes.
fn begin_install(site: &Site, size: usize) -> UnixStream {
    let connect = json!({"connect": {"version": "0.9.2", "subscribe_notifications": false}});
    let install = json!({"request": {"install": {"repository": "default", "size": size}}});
    let mut client = UnixStream::connect(site.socket()).unwrap();
    client
        .write_all(format!("{connect}\n{install}\n").as_bytes())
        .unwrap();
    client
}

#[test]
fn broken_entries_never_stop_the_start() {
    let site = Site::new();
    let good = site.pack(&Package::app("good", &["exit", "0"]));
    let repository = site.repository();
    let bytes = fs::read(&good).unwrap();
    fs::write(repository.join("empty.npk"), b"").unwrap();
    fs::write(repository.join("half.npk"), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(repository.join("noise.npk"), vec![0xa5; 100_000]).unwrap();
    fs::write(repository.join("README.txt"), b"not a package").unwrap();
    fs::write(repository.join("copy.npk"), &bytes).unwrap();
    fs::create_dir(repository.join("lost+found")).unwrap();
    fs::create_dir(repository.join("directory.npk")).unwrap();
    symlink("/etc/shadow", repository.join("link.npk")).unwrap();
    nix::unistd::mkfifo(&repository.join("pipe.npk"), nix::sys::stat::Mode::S_IRWXU).unwrap();

    let daemon = site.start();
    let mut console = daemon.console();
    assert_eq!(
        console.request(&json!("list")),
        json!({"list": ["good:0.0.1"]})
    );
    console.start_ok("good:0.0.1");
    assert_eq!(
        console.expect_exit("good:0.0.1"),
        json!({"exit": {"code": 0}})
    );
    daemon.stop();
}

#[test]
fn installed_package_runs_and_survives_a_restart() {
    let site = Site::new();
    let outside = tempfile::tempdir().unwrap();
    let package = Package::app("app", &["exit", "7"]).pack(outside.path(), Some(&site.key()));
    let daemon = site.start();
    let mut console = daemon.console();

    let installed = json!({"install": {"ok": {"container": "app:0.0.1"}}});
    assert_eq!(console.install("default", &package), installed);
    console.expect_notification(&json!({"install": "app:0.0.1"}));
    assert_eq!(
        console.install("default", &package),
        json!({"install": {"error": {"error": {"install_duplicate": {"container": "app:0.0.1"}}}}})
    );
    assert_eq!(
        console.install("nowhere", &package),
        json!({"install": {"error": {"error": {"invalid_repository": {"repository": "nowhere"}}}}})
    );
    console.start_ok("app:0.0.1");
    assert_eq!(
        console.expect_exit("app:0.0.1"),
        json!({"exit": {"code": 7}})
    );
    daemon.stop();
    assert_eq!(packages_in(&site.repository()).len(), 1);

    let daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("app:0.0.1");
    assert_eq!(
        console.expect_exit("app:0.0.1"),
        json!({"exit": {"code": 7}})
    );
    let gone = json!({"uninstall": {"ok": {"container": "app:0.0.1"}}});
    assert_eq!(
        console.request(&json!({"uninstall": {"container": "app:0.0.1", "wipe": false}})),
        gone
    );
    console.expect_notification(&json!({"uninstall": "app:0.0.1"}));
    assert_eq!(console.request(&json!("list")), json!({"list": []}));
    assert!(packages_in(&site.repository()).is_empty());
    daemon.stop();
}

#[test]
fn package_in_memory_runs_and_is_gone_after_a_restart() {
    let site = Site::new();
    let integrity = northstar_tests::Integrity::available().word();
    let site = site.tables(&format!(
        "[repositories.memory]\ntype = \"mem\"\nkey = \"DIRECTORY/test.pub\"\nintegrity = \"{integrity}\"\n"
    ));
    let outside = tempfile::tempdir().unwrap();
    let package = Package::app("app", &["exit", "7"]).pack(outside.path(), Some(&site.key()));
    let unsigned = Package::app("evil", &["exit", "0"]).pack(outside.path(), None);
    let daemon = site.start();
    let mut console = daemon.console();
    assert_eq!(
        console.request(&json!("repositories")),
        json!({"repositories": ["default", "memory"]})
    );
    assert_eq!(
        console.install("memory", &package),
        json!({"install": {"ok": {"container": "app:0.0.1"}}})
    );
    assert!(
        console
            .install("memory", &unsigned)
            .pointer("/install/error/error/unexpected")
            .is_some()
    );
    console.start_ok("app:0.0.1");
    assert_eq!(
        console.expect_exit("app:0.0.1"),
        json!({"exit": {"code": 7}})
    );
    daemon.stop();

    let daemon = site.start();
    assert_eq!(
        daemon.console().request(&json!("list")),
        json!({"list": []})
    );
    daemon.stop();
}

#[test]
fn repository_without_key_takes_unsigned_packages() {
    let site =
        Site::new().tables("[repositories.open]\ntype = { fs = { dir = \"DIRECTORY/open\" } }\n");
    fs::create_dir(site.path().join("open")).unwrap();
    Package::app("app", &["exit", "7"]).pack(&site.path().join("open"), None);
    let daemon = site.start();
    let mut console = daemon.console();
    console.start_ok("app:0.0.1");
    assert_eq!(
        console.expect_exit("app:0.0.1"),
        json!({"exit": {"code": 7}})
    );
    daemon.stop();
}

#[test]
fn capacity_is_a_limit() {
    let site = Site::new().repository_option("capacity_num = 1");
    site.pack(&Package::app("first", &["exit", "0"]));
    let outside = tempfile::tempdir().unwrap();
    let second = Package::app("second", &["exit", "0"]).pack(outside.path(), Some(&site.key()));
    let daemon = site.start();
    let mut console = daemon.console();
    assert!(
        console
            .install("default", &second)
            .pointer("/install/error/error")
            .is_some()
    );
    assert_eq!(
        console.request(&json!("list")),
        json!({"list": ["first:0.0.1"]})
    );
    daemon.stop();
}

#[test]
fn mount_on_start_mounts_and_a_failing_package_does_not_matter() {
    let site = Site::new().repository_option("mount_on_start = true");
    site.pack(&Package::app("one", &["exit", "0"]));
    site.pack(&Package::app("two", &["exit", "0"]));
    let daemon = site.start();
    let mut console = daemon.console();
    for container in ["one:0.0.1", "two:0.0.1"] {
        northstar_tests::eventually("the mount", || {
            (console.inspect(container).get("mounted") == Some(&json!(true))).then_some(())
        });
    }
    daemon.stop();
}

#[test]
fn other_clients_never_wait_for_an_install() {
    let site = Site::new();
    site.pack(&Package::app("app", &["exit", "0"]));
    let daemon = site.start();
    // A client that announces a package and sends nothing of it.
    let mut idle = begin_install(&site, 1_000_000);
    idle.write_all(&[0; 100]).unwrap();

    let mut console = daemon.console();
    console.start_ok("app:0.0.1");
    assert_eq!(
        console.expect_exit("app:0.0.1"),
        json!({"exit": {"code": 0}})
    );
    drop(idle);
    daemon.stop();
    assert_eq!(packages_in(&site.repository()), ["app-0.0.1.npk"]);
}

#[test]
fn end_of_the_daemon_within_an_install_leaves_nothing_of_it() {
    let site = Site::new();
    let outside = tempfile::tempdir().unwrap();
    // Several pieces of an upload that cannot be compressed, so that there is always one on its way.
    let mut noise = String::new();
    for line in 0..200_000_u64 {
        noise += &line.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string();
    }
    let package = Package::app("app", &["exit", "3"]).file("/noise", &noise);
    let package = package.pack(outside.path(), Some(&site.key()));
    let bytes = fs::read(&package).unwrap();
    assert!(bytes.len() > 1_500_000, "{}", bytes.len());
    let staging = site.repository().join(".staging");
    let staged = || fs::read_dir(&staging).unwrap().count();

    for is_killed in [false, true] {
        let daemon = site.start();
        let mut client = begin_install(&site, bytes.len());
        client.write_all(&bytes[..bytes.len() - 1000]).unwrap();
        eventually("the first piece", || (staged() == 1).then_some(()));
        if is_killed {
            daemon.kill();
            assert_eq!(staged(), 1);
        } else {
            daemon.stop();
            assert_eq!(staged(), 0);
        }
        assert_eq!(packages_in(&site.repository()), [""; 0]);
    }

    // The next one clears up and takes the package.
    let daemon = site.start();
    let mut console = daemon.console();
    // The console is there before the repositories are; the answer comes after both.
    assert_eq!(console.request(&json!("list")), json!({"list": []}));
    assert_eq!(staged(), 0);
    let installed = json!({"install": {"ok": {"container": "app:0.0.1"}}});
    assert_eq!(console.install("default", &package), installed);
    console.start_ok("app:0.0.1");
    assert_eq!(
        console.expect_exit("app:0.0.1"),
        json!({"exit": {"code": 3}})
    );
    daemon.stop();
    assert_eq!(packages_in(&site.repository()), ["app-0.0.1.npk"]);
}
