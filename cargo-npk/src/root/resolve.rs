//! Following the symbolic links of an image as they count on the machine it is for, where its root is
//! the root (path_resolution(7)).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

/// As many as Linux follows.
const LINKS: usize = 40;

/// What happens with the last component of a path, if it is a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Followed,
    /// It is itself what is meant.
    Kept,
}

/// Where `path` is below `root`; it need not be there.
pub(super) fn resolve(root: &Path, path: &Path, last: Last) -> io::Result<PathBuf> {
    let mut inside = PathBuf::new();
    let mut left = names(path);
    let mut links = 0;
    while let Some(name) = left.pop() {
        if name == ".." {
            // Above the root is the root.
            inside.pop();
            continue;
        }
        let next = inside.join(name);
        if left.is_empty() && last == Last::Kept {
            inside = next;
            break;
        }
        match fs::read_link(root.join(&next)) {
            Ok(target) => {
                links += 1;
                if links > LINKS {
                    return Err(Errno::LOOP.into());
                }
                if target.is_absolute() {
                    inside = PathBuf::new();
                }
                left.extend(names(&target));
            }
            Err(error) => match Errno::from_io_error(&error) {
                // No link, or nothing at all.
                Some(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => inside = next,
                _ => return Err(error),
            },
        }
    }
    Ok(root.join(inside))
}

/// The components of a path from the last to the first, without those that mean nothing.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<_> = names.collect();
    names.reverse();
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_count_from_the_root_of_the_image() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        for (link, target) in [
            ("lib", "usr/lib"),
            ("lib64", "/lib"),
            ("etc", "/etc"),
            ("usr/up", "../../../etc"),
            ("chain", "usr/up"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        for (path, followed, kept) in [
            ("/", "", ""),
            ("/usr/lib/a", "usr/lib/a", "usr/lib/a"),
            ("/lib", "usr/lib", "lib"),
            ("/lib64/a", "usr/lib/a", "usr/lib/a"),
            ("/etc/passwd", "etc/passwd", "etc/passwd"),
            ("/none/a", "none/a", "none/a"),
        ] {
            if path.starts_with("/etc") {
                // A link to itself leads nowhere.
                let error = resolve(root, Path::new(path), Last::Followed).unwrap_err();
                assert_eq!(Errno::from_io_error(&error), Some(Errno::LOOP));
                continue;
            }
            for (last, expected) in [(Last::Followed, followed), (Last::Kept, kept)] {
                let found = resolve(root, Path::new(path), last).unwrap();
                assert_eq!(found, root.join(expected), "{path} {last:?}");
            }
        }
        fs::remove_file(root.join("etc")).unwrap();
        for path in ["/usr/up/passwd", "/chain/passwd"] {
            let found = resolve(root, Path::new(path), Last::Followed).unwrap();
            assert_eq!(found, root.join("etc/passwd"), "{path}");
        }
    }
}
