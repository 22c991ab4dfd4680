//! Many mounts at a time, while somebody else takes loop devices too.

use std::{
    fs::{self, File},
    os::fd::AsFd,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use loopdev::LoopControl;
use northstar_runtime::storage::{Integrity, Kernel, mount};
use northstar_sys::loop_device::{self, Flags, Status};

use crate::support::{self, Env};

const MOUNTERS: usize = 16;
const ROUNDS: usize = 20;

/// Attaches and detaches a file of its own until told to stop, and looks each time whether the device is still its own.
/// Returns how often it got a device.
fn churn(file: PathBuf, stop: Arc<AtomicBool>) -> usize {
    let file = File::open(file).unwrap();
    let control = LoopControl::open().unwrap();
    let flags = Flags {
        read_only: true,
        autoclear: true,
        direct_io: false,
    };
    let mut attached = 0;
    while !stop.load(Ordering::Relaxed) {
        // Losing the race for a device is what this is for.
        let Ok(device) = control.next_free() else {
            continue;
        };
        let Ok(device) = File::open(device.path().unwrap()) else {
            continue;
        };
        if loop_device::configure(device.as_fd(), file.as_fd(), 0, 0, 512, flags).is_err() {
            continue;
        }
        let first = loop_device::status(device.as_fd()).unwrap();
        thread::sleep(Duration::from_micros(500));
        let second: Status = loop_device::status(device.as_fd()).unwrap();
        assert_eq!(first, second, "somebody took a device that was in use");
        attached += 1;
    }
    attached
}

async fn mount_in_parallel(integrity: Integrity) {
    let env = Arc::new(Env::new());
    let packages: Vec<_> = (0..MOUNTERS)
        .map(|index| env.signed(&format!("p{index}:1.0.0")))
        .collect();
    let foreign = env.path("foreign");
    fs::write(&foreign, vec![0; 64 * 1024]).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let churners: Vec<_> = (0..2)
        .map(|_| {
            thread::spawn({
                let (foreign, stop) = (foreign.clone(), Arc::clone(&stop));
                move || churn(foreign, stop)
            })
        })
        .collect();

    let kernel = Kernel::detect();
    let tasks: Vec<_> = packages
        .into_iter()
        .map(|package| {
            let (env, kernel) = (Arc::clone(&env), kernel.clone());
            tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    let image = mount(&kernel, env.request(&package, integrity))
                        .await
                        .unwrap();
                    assert_eq!(fs::read(image.path().join("hello")).unwrap(), b"hello\n");
                    image.release().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for churner in churners {
        assert!(churner.join().unwrap() > 0, "there was no churn");
    }
    assert_eq!(env.mounts(), []);
    support::eventually("all loop devices are free", || {
        env.loop_devices().is_empty()
    });
    assert_eq!(fs::read_dir(env.path("run")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_mounters_and_foreign_churn_do_not_disturb_each_other() {
    mount_in_parallel(Integrity::FullRead).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn vm_sixteen_mounters_share_the_device_mapper() {
    mount_in_parallel(Integrity::DmVerity).await;
}
