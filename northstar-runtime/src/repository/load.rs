//! Loading the packages of a directory on all cores.
//!
//! The work for one package is constant: archive directory, signature, manifest, superblock. The image is not read.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use northstar_npk::{Package, key::PublicKey};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{RejectReason, directory::Directory};

/// Descriptors that the daemon needs besides one for each package: consoles, containers, logs, devices.
const OTHER_DESCRIPTORS: u64 = 1024;

/// An entry of a directory and what became of it.
pub(super) type Loaded = (OsString, Result<(Package, File, u64), RejectReason>);

/// Opens and checks all entries. The result is in the order of `entries`.
pub(super) fn load(
    directory: &Directory,
    entries: Vec<OsString>,
    key: Option<&PublicKey>,
) -> Vec<Loaded> {
    raise_descriptor_limit(entries.len() as u64);
    let workers = thread::available_parallelism()
        .map_or(1, |cores| cores.get())
        .min(entries.len());
    let next = AtomicUsize::new(0);
    // Each worker takes the next entry that nobody has: one slow file holds up one core.
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = entries.get(index) else {
                return done;
            };
            done.push((index, open(directory, entry, key)));
        }
    };
    let mut results: Vec<(usize, _)> = thread::scope(|scope| {
        let threads: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let mut results = work();
        for thread in threads {
            // A worker has no way to panic; if it did, its entries would be missing, nothing else.
            results.extend(thread.join().unwrap_or_default());
        }
        results
    });
    results.sort_unstable_by_key(|(index, _)| *index);
    entries
        .into_iter()
        .enumerate()
        .zip(results)
        .map(|((_, entry), (_, result))| (entry, result))
        .collect()
}

fn open(
    directory: &Directory,
    entry: &OsStr,
    key: Option<&PublicKey>,
) -> Result<(Package, File, u64), RejectReason> {
    let file = directory.open_entry(entry)?;
    let size = file.metadata().map_err(RejectReason::Open)?.len();
    let package = Package::open(&file, key).map_err(RejectReason::Package)?;
    Ok((package, file, size))
}

/// Each package keeps a descriptor. The usual soft limit of 1024 is there for select(2), which nothing here uses.
fn raise_descriptor_limit(packages: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(current) = current else { return };
    let wanted = packages.saturating_add(OTHER_DESCRIPTORS);
    if current >= wanted {
        return;
    }
    let raised = maximum.map_or(wanted, |maximum| wanted.min(maximum));
    if raised > current
        && let Err(error) = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(raised),
                maximum,
            },
        )
    {
        tracing::warn!("setrlimit RLIMIT_NOFILE {raised}: {error}");
    }
}
