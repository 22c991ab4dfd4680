//! Control files: writing, reading, reading back.

use super::CgroupError;
use std::error::Error;
use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

/// Largest page size of the supported architectures. The kernel rounds byte
/// limits down to whole pages.
const LARGEST_PAGE: u64 = 64 * 1024;

/// What version 1 shows for an unlimited byte value is the largest signed
/// number, rounded down to a page.
const UNLIMITED: u64 = i64::MAX as u64 - LARGEST_PAGE;

/// Reads a whole control file.
pub(super) fn read(directory: &Path, name: &str) -> Result<String, CgroupError> {
    let file = directory.join(name);
    fs::read_to_string(&file).map_err(|source| CgroupError::Read { file, source })
}

/// Reads a control file that not every kernel has.
pub(super) fn read_if_present(directory: &Path, name: &str) -> Result<Option<String>, CgroupError> {
    match read(directory, name) {
        Err(CgroupError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        result => result.map(Some),
    }
}

/// Reads a control file that holds one number; `max` and -1 are `None`.
pub(super) fn read_number(directory: &Path, name: &str) -> Result<Option<u64>, CgroupError> {
    let content = read(directory, name)?;
    match content.trim() {
        "max" | "-1" => Ok(None),
        number => number.parse().map(Some).map_err(|_| CgroupError::Format {
            file: directory.join(name),
            content,
        }),
    }
}

/// Whether a control file exists.
pub(super) fn exists(directory: &Path, name: &str) -> bool {
    directory.join(name).exists()
}

/// Writes a control file with one `write(2)`.
pub(super) fn write(directory: &Path, name: &str, value: &str) -> Result<(), CgroupError> {
    present(directory, name, value)?;
    let file = directory.join(name);
    // Never O_CREAT: a missing file shall not turn into a permission error.
    let result = OpenOptions::new()
        .write(true)
        .open(&file)
        .and_then(|mut open| open.write_all(value.as_bytes()));
    result.map_err(|source| CgroupError::Write {
        file,
        value: value.to_owned(),
        source,
    })
}

/// Runs a setter of the cgroups crate and reads the file back.
pub(super) fn set(
    directory: &Path,
    name: &str,
    value: &str,
    setter: impl FnOnce() -> cgroups_rs::fs::error::Result<()>,
    holds: impl FnOnce(&str) -> bool,
) -> Result<(), CgroupError> {
    call(directory, name, value, setter)?;
    verify(directory, name, value, holds)
}

/// Sets a number with a setter of the cgroups crate and reads it back.
pub(super) fn set_number<N: Copy + Display + FromStr + PartialEq>(
    directory: &Path,
    name: &str,
    number: N,
    setter: impl FnOnce(N) -> cgroups_rs::fs::error::Result<()>,
) -> Result<(), CgroupError> {
    let set = || setter(number);
    let holds = is_number(number);
    self::set(directory, name, &number.to_string(), set, holds)
}

/// Sets a byte limit with a setter of the cgroups crate and reads it back.
pub(super) fn set_bytes(
    directory: &Path,
    name: &str,
    limit: i64,
    setter: impl FnOnce(i64) -> cgroups_rs::fs::error::Result<()>,
) -> Result<(), CgroupError> {
    let set = || setter(limit);
    self::set(directory, name, &limit.to_string(), set, is_bytes(limit))
}

/// Runs a setter of the cgroups crate, for a file that cannot be read.
pub(super) fn call(
    directory: &Path,
    name: &str,
    value: &str,
    setter: impl FnOnce() -> cgroups_rs::fs::error::Result<()>,
) -> Result<(), CgroupError> {
    present(directory, name, value)?;
    setter().map_err(|error| CgroupError::Write {
        file: directory.join(name),
        value: value.to_owned(),
        source: cause(error),
    })
}

/// Writes a file directly and reads it back.
pub(super) fn write_and_verify(
    directory: &Path,
    name: &str,
    value: &str,
    holds: impl FnOnce(&str) -> bool,
) -> Result<(), CgroupError> {
    write(directory, name, value)?;
    verify(directory, name, value, holds)
}

/// Checks that a file holds what was written.
pub(super) fn verify(
    directory: &Path,
    name: &str,
    value: &str,
    holds: impl FnOnce(&str) -> bool,
) -> Result<(), CgroupError> {
    let found = read(directory, name)?;
    if holds(found.trim()) {
        return Ok(());
    }
    Err(CgroupError::Mismatch {
        file: directory.join(name),
        value: value.to_owned(),
        found: found.trim().to_owned(),
    })
}

fn present(directory: &Path, name: &str, value: &str) -> Result<(), CgroupError> {
    if exists(directory, name) {
        return Ok(());
    }
    Err(CgroupError::Missing {
        file: directory.join(name),
        value: value.to_owned(),
    })
}

/// The operating system's error inside one of the cgroups crate.
fn cause(error: cgroups_rs::fs::error::Error) -> io::Error {
    let code = error
        .source()
        .and_then(|cause| cause.downcast_ref::<io::Error>())
        .and_then(io::Error::raw_os_error);
    code.map_or_else(|| io::Error::other(error), io::Error::from_raw_os_error)
}

/// The content is exactly this number.
pub(super) fn is_number<N: FromStr + PartialEq>(expected: N) -> impl FnOnce(&str) -> bool {
    move |found| found.parse::<N>().is_ok_and(|found| found == expected)
}

/// The content is this byte limit, or less by no more than a page. A negative
/// limit is unlimited.
pub(super) fn is_bytes(expected: i64) -> impl FnOnce(&str) -> bool {
    move |found| match (u64::try_from(expected), found) {
        (Err(_), "max") => true,
        (Err(_), found) => found.parse::<u64>().is_ok_and(|found| found >= UNLIMITED),
        // The kernel caps at its own unlimited value.
        (Ok(expected), "max") => expected >= UNLIMITED,
        (Ok(expected), found) => found.parse::<u64>().is_ok_and(|found| {
            let expected = expected.min(i64::MAX as u64);
            found <= expected && expected - found < LARGEST_PAGE
        }),
    }
}

/// One line of the content has these words, in this order.
pub(super) fn has_line(expected: String) -> impl FnOnce(&str) -> bool {
    move |found| {
        found
            .lines()
            .any(|line| line.split_whitespace().eq(expected.split_whitespace()))
    }
}

/// The value of a key in a flat keyed file (`key value` per line).
pub(super) fn keyed(content: &str, key: &str) -> Option<u64> {
    content.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| value.trim().parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_limits_may_be_rounded_down_to_a_page() {
        for (expected, found, holds) in [
            (65_536, "65536", true),
            (65_537, "65536", true),
            (65_536, "65537", false),
            (10_000_000, "9998336", true),
            (10_000_000, "9900000", false),
            (10_000_000, "max", false),
            (-1, "max", true),
            (-1, "9223372036854771712", true),
            (-1, "9223372036854710272", true),
            (-1, "4096", false),
            (i64::MAX, "max", true),
            (i64::MAX, "9223372036854771712", true),
            (1, "", false),
            (1, "x", false),
        ] {
            assert_eq!(is_bytes(expected)(found), holds, "{expected} {found}");
        }
    }

    #[test]
    fn lines_compare_by_words() {
        assert!(has_line("8:0 100".to_owned())("7:0 1\n8:0   100"));
        assert!(!has_line("8:0 100".to_owned())("8:0 1000"));
        assert!(!has_line("8:0 100".to_owned())(""));
    }

    #[test]
    fn keys_are_whole_words() {
        let content = "oom 3\noom_kill 7\nbroken\nnot number\n";
        assert_eq!(keyed(content, "oom"), Some(3));
        assert_eq!(keyed(content, "oom_kill"), Some(7));
        assert_eq!(keyed(content, "oo"), None);
        assert_eq!(keyed(content, "not"), None);
    }

    #[test]
    fn a_missing_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        match write(directory.path(), "memory.max", "1") {
            Err(CgroupError::Missing { file, value }) => {
                assert_eq!(
                    (file, value.as_str()),
                    (directory.path().join("memory.max"), "1")
                );
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_value_that_does_not_stick_is_reported() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("pids.max"), "").unwrap();
        match write_and_verify(directory.path(), "pids.max", "7", is_number(8)) {
            Err(CgroupError::Mismatch { value, found, .. }) => {
                assert_eq!((value.as_str(), found.as_str()), ("7", "7"))
            }
            other => panic!("{other:?}"),
        }
    }
}
