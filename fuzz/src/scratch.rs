//! A file in memory that serves one input after the other.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::MemfdFlags;

thread_local! {
    static SCRATCH: RefCell<Option<File>> = const { RefCell::new(None) };
}

/// Runs `work` with a file that holds `pieces`, each at its offset, and zeros between them up to `size`.
pub fn with_file<T>(size: u64, pieces: &[(u64, &[u8])], work: impl FnOnce(&File) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        let file = scratch.get_or_insert_with(file);
        file.set_len(0).expect("an empty file");
        file.set_len(size).expect("a file of the size asked for");
        for (offset, bytes) in pieces {
            file.write_all_at(bytes, *offset)
                .expect("a write to memory");
        }
        work(file)
    })
}

/// A new file in memory.
pub fn file() -> File {
    let memory = rustix::fs::memfd_create("scratch", MemfdFlags::CLOEXEC);
    File::from(memory.expect("a file in memory"))
}
