//! Extended attributes, which the library does not write.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::SquashfsError;
use crate::pack::Warning;

/// What happens with files that have extended attributes, where these cannot be packed.
///
/// SELinux labels (`security.selinux`) are never an error: the daemon mounts images with a label of
/// their own. A file system without extended attributes has none to lose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Xattrs {
    /// It is an error.
    #[default]
    Refuse,
    /// They are left out with a warning.
    Drop,
}

/// What a file loses.
pub(super) struct Lost {
    /// An SELinux label.
    pub label: bool,
    pub warnings: Vec<Warning>,
}

const LABEL: &str = "security.selinux";

/// What the file at `source` loses, unless that is refused.
pub(super) fn lost(source: &Path, path: &Path, policy: Xattrs) -> Result<Lost, SquashfsError> {
    let names = list(source).map_err(|error| SquashfsError::source(source, error))?;
    let mut lost = Lost {
        label: false,
        warnings: Vec::new(),
    };
    for attribute in names {
        if attribute == LABEL {
            lost.label = true;
            continue;
        }
        let path = path.to_owned();
        match policy {
            Xattrs::Refuse => return Err(SquashfsError::ExtendedAttribute { path, attribute }),
            Xattrs::Drop => lost
                .warnings
                .push(Warning::AttributeDropped { path, attribute }),
        }
    }
    Ok(lost)
}

/// `XATTR_LIST_MAX`: no list is longer (listxattr(2)).
const LONGEST: usize = 64 * 1024;

/// The names of all attributes, sorted.
fn list(path: &Path) -> io::Result<Vec<String>> {
    let mut list = vec![0; LONGEST];
    match rustix::fs::llistxattr(path, list.as_mut_slice()) {
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        size => list.truncate(size?),
    }
    let mut names: Vec<_> = list
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    names.sort_unstable();
    Ok(names)
}
