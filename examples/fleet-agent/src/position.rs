//! The last event that the broker has: where to go on after a restart of this program.

use std::{fs, io::Write, path::Path};

use anyhow::{Context, Result};
use northstar_client::api::Resume;

/// Reads the position; none if there was none yet.
pub fn load(path: &Path) -> Result<Option<Resume>> {
    let context = || format!("cannot read {}", path.display());
    match fs::read(path) {
        Ok(json) => serde_json::from_slice(&json)
            .with_context(context)
            .map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(context),
    }
}

/// Writes the position so that there is always either the old or the new one.
pub fn store(path: &Path, position: &Resume) -> Result<()> {
    let write = || {
        let directory = match path.parent() {
            Some(directory) if directory != Path::new("") => directory,
            _ => Path::new("."),
        };
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        serde_json::to_writer(&mut file, position)?;
        file.flush()?;
        file.as_file().sync_data()?;
        file.persist(path)?;
        anyhow::Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("position");
        assert_eq!(load(&path).unwrap(), None);
        for sequence in [1, 2] {
            let position = Resume {
                instance: "a".to_owned(),
                sequence,
            };
            store(&path, &position).unwrap();
            assert_eq!(load(&path).unwrap(), Some(position));
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        fs::write(&path, "no JSON").unwrap();
        assert!(load(&path).is_err());
    }
}
