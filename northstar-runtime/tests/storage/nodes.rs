//! Device nodes that are missing or late. Each test has a `/dev` of its own, in a mount namespace of its own.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::{
    mount::{MsFlags, mount as mount_old},
    sched::{CloneFlags, unshare},
};
use northstar_runtime::storage::{
    Integrity, Kernel, LoopError, MountError, MountRequest, MountedImage, mount,
};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::support::Env;

/// Runs `test` on a thread whose `/dev` has nothing but `/dev/loop-control`.
fn with_empty_dev(test: impl FnOnce() + Send + 'static) {
    let control = rustix::fs::stat("/dev/loop-control").unwrap().st_rdev;
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount_old(none, "/", none, private, none).unwrap();
        mount_old(Some("tmpfs"), "/dev", Some("tmpfs"), MsFlags::empty(), none).unwrap();
        node(
            Path::new("/dev/loop-control"),
            FileType::CharacterDevice,
            control,
        );
        test();
    });
    thread.join().unwrap();
}

fn node(path: &Path, kind: FileType, device: u64) {
    mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device).unwrap();
}

/// Threads of this runtime inherit the namespace of the thread that makes it.
fn mount_here(request: MountRequest) -> Result<MountedImage, MountError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(mount(&Kernel::detect(), request))
}

#[test]
fn a_device_without_a_node_is_a_typed_error_at_the_deadline() {
    with_empty_dev(|| {
        let env = Env::new();
        let mut request = env.request(&env.signed("a:1.0.0"), Integrity::FullRead);
        request.loop_timeout = Duration::from_millis(200);
        let start = Instant::now();
        let error = mount_here(request).unwrap_err();
        let MountError::Loop {
            source: LoopError::Timeout { timeout, last },
            ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!(*timeout, Duration::from_millis(200));
        assert_eq!(last.raw_os_error(), Some(nix::libc::ENOENT));
        assert!((*timeout..*timeout + Duration::from_secs(1)).contains(&start.elapsed()));
        assert_eq!(env.mounts(), []);
        assert_eq!(fs::read_dir(env.path("run")).unwrap().count(), 0);
    });
}

#[test]
fn a_late_node_is_waited_for() {
    with_empty_dev(|| {
        let env = Env::new();
        let request = env.request(&env.signed("a:1.0.0"), Integrity::FullRead);
        // The thread is in the same namespace. Whether it comes before or after the first attempt, the mount succeeds.
        let late = thread::spawn(|| {
            for number in 0..256 {
                let path = format!("/dev/loop{number}");
                node(Path::new(&path), FileType::BlockDevice, makedev(7, number));
            }
        });
        let image = mount_here(request).unwrap();
        late.join().unwrap();
        assert_eq!(fs::read(image.path().join("hello")).unwrap(), b"hello\n");
        drop(image);
    });
}

#[test]
fn without_a_loop_control_there_is_no_waiting() {
    with_empty_dev(|| {
        let env = Env::new();
        fs::remove_file("/dev/loop-control").unwrap();
        let error =
            mount_here(env.request(&env.signed("a:1.0.0"), Integrity::FullRead)).unwrap_err();
        assert!(
            matches!(&error, MountError::Loop { source: LoopError::Device(source), .. }
                if source.raw_os_error() == Some(nix::libc::ENOENT)),
            "{error:?}"
        );
    });
}
