//! Counting the memory that a target takes.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What the test runner itself may allocate at the same time, in bytes.
const SLACK: usize = 16 * 1024;

/// Runs `work` and asserts that it never holds more than `limit` bytes more than at its start.
///
/// The count is that of the whole process, so whoever calls this is alone in it.
pub fn bounded<T>(limit: usize, work: impl FnOnce() -> T) -> T {
    let (result, taken) = measured(work);
    assert!(
        taken <= limit + SLACK,
        "{taken} bytes allocated, at most {limit} are allowed"
    );
    result
}

/// Runs `work` and returns with its result how many bytes more than at its start it held at most.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = work();
    (result, ALLOCATOR.peak_usage().saturating_sub(before))
}
