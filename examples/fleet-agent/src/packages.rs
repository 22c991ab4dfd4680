//! Where packages come from: a directory. Nothing outside of it is read, whatever the broker says.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use url::Url;

/// The file of a package, named by a path below `directory` or a `file://` URL of a file in there.
pub fn find(directory: &Path, package: &str) -> Result<PathBuf> {
    let path = match package.strip_prefix("file://") {
        Some(_) => Url::parse(package)?
            .to_file_path()
            .map_err(|()| anyhow!("{package} names no file of this machine"))?,
        None => directory.join(package),
    };
    let resolve = |path: &Path| {
        path.canonicalize()
            .with_context(|| format!("cannot find {}", path.display()))
    };
    let (path, directory) = (resolve(&path)?, resolve(directory)?);
    ensure!(
        path.starts_with(&directory),
        "{package} is not in {}",
        directory.display()
    );
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_found_in_the_directory_alone() {
        let outer = tempfile::tempdir().unwrap();
        let directory = outer.path().join("packages");
        std::fs::create_dir_all(directory.join("a")).unwrap();
        let (inside, outside) = (directory.join("a/b.npk"), outer.path().join("secret"));
        std::fs::write(&inside, "").unwrap();
        std::fs::write(&outside, "").unwrap();
        std::os::unix::fs::symlink(&outside, directory.join("link")).unwrap();
        let inside = inside.canonicalize().unwrap();
        assert_eq!(find(&directory, "a/b.npk").unwrap(), inside);
        let url = format!("file://{}", inside.display());
        assert_eq!(find(&directory, &url).unwrap(), inside);
        let url = format!("file://{}", outside.display());
        for refused in ["../secret", "link", outside.to_str().unwrap(), &url, "none"] {
            assert!(find(&directory, refused).is_err(), "{refused}");
        }
    }
}
