//! The version of the protocol.

use semver::Version;

/// The version of the protocol, whatever the version of the crates is.
pub const VERSION: Version = Version::new(0, 9, 2);

/// Whether a peer that speaks `version` is understood: 0.9.0 or later, before 1.0.0.
///
/// 0.9.x clients never send a pre-release; one of 1.0.0 is not 0.9 any more.
#[must_use]
pub fn accepts(version: &Version) -> bool {
    *version >= Version::new(0, 9, 0) && version.major == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_0_9_0_up_to_1_0_0() {
        let cases = [
            ("0.0.0", false),
            ("0.8.99", false),
            ("0.9.0-rc1", false),
            ("0.9.0", true),
            ("0.9.1", true),
            ("0.9.2", true),
            ("0.9.3", true),
            ("0.10.0", true),
            ("0.99.99", true),
            ("1.0.0-rc1", false),
            ("1.0.0", false),
            ("2.0.0", false),
        ];
        for (version, accepted) in cases {
            assert_eq!(
                accepts(&Version::parse(version).unwrap()),
                accepted,
                "{version}"
            );
        }
        assert_eq!(VERSION.to_string(), "0.9.2");
    }
}
