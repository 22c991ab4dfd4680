//! The format version in the archive comment.

use semver::Version;

/// The format version written into new packages.
pub const FORMAT_VERSION: Version = Version::new(0, 9, 2);

/// The oldest format version that loads. Later ones load as long as their major number is 0.
pub const OLDEST_VERSION: Version = Version::new(0, 9, 0);

/// Why an archive comment is not accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum VersionError {
    /// The comment is not exactly one line `version: X.Y.Z`.
    #[error("archive comment {comment:?} is not one line with the format version")]
    Malformed {
        /// The comment, with invalid UTF-8 replaced.
        comment: String,
    },
    /// The version is outside of what this crate reads.
    #[error(
        "package format version {found} is not supported: \
         this is version {FORMAT_VERSION}, which reads {OLDEST_VERSION} and later 0.x"
    )]
    Unsupported {
        /// The version of the package.
        found: Version,
    },
}

/// The comment of a package of format version `version`.
pub(crate) fn comment(version: &Version) -> Vec<u8> {
    format!("version: {version}\n").into_bytes()
}

/// Reads the format version from the archive comment and checks that it is supported.
pub(crate) fn parse_comment(bytes: &[u8]) -> Result<Version, VersionError> {
    let malformed = || VersionError::Malformed {
        comment: String::from_utf8_lossy(bytes).into_owned(),
    };
    let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
    let version = text
        .strip_prefix("version: ")
        .and_then(|rest| rest.strip_suffix('\n'))
        .and_then(|version| Version::parse(version).ok())
        .ok_or_else(malformed)?;
    if version.major != 0 || version < OLDEST_VERSION {
        return Err(VersionError::Unsupported { found: version });
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_from_0_9_0_up_to_1_0_load() {
        for good in ["0.9.0", "0.9.1", "0.9.2", "0.9.99", "0.10.0", "0.255.3"] {
            let comment = format!("version: {good}\n");
            assert_eq!(
                parse_comment(comment.as_bytes()),
                Ok(Version::parse(good).unwrap())
            );
        }
    }

    #[test]
    fn other_versions_are_refused_with_both_versions_named() {
        for bad in ["0.8.9", "0.9.0-rc.1", "1.0.0", "1.0.0-alpha", "2.3.4"] {
            let error = parse_comment(format!("version: {bad}\n").as_bytes()).unwrap_err();
            let found = Version::parse(bad).unwrap();
            assert_eq!(error, VersionError::Unsupported { found });
            let text = error.to_string();
            assert!(text.contains(bad) && text.contains("0.9.2"), "{text}");
        }
    }

    #[test]
    fn only_one_exact_line_is_a_version() {
        for bad in [
            "",
            "version: 0.9.2",
            "version: 0.9.2\n\n",
            "version:  0.9.2\n",
            "version: '0.9.2'\n",
            "Version: 0.9.2\n",
            "version: 0.9\n",
            "version: 0.9.2\nmore: 1\n",
        ] {
            assert_eq!(
                parse_comment(bad.as_bytes()),
                Err(VersionError::Malformed {
                    comment: bad.to_owned()
                })
            );
        }
    }

    #[test]
    fn the_written_comment_reads_back() {
        assert_eq!(parse_comment(&comment(&FORMAT_VERSION)), Ok(FORMAT_VERSION));
    }
}
