//! A set of capabilities(7) by the kernel's numbers.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A set of capabilities, one bit for each number of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CapabilitySet(u64);

/// A name that is no capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability {0:?}")]
pub struct UnknownCapability(pub String);

impl CapabilitySet {
    /// The set without any capability.
    pub const EMPTY: CapabilitySet = CapabilitySet(0);

    /// Builds a set from names such as `CAP_NET_RAW`, in upper case.
    ///
    /// # Errors
    /// The first name that is unknown.
    pub fn from_names<'a>(
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<CapabilitySet, UnknownCapability> {
        names
            .into_iter()
            .try_fold(CapabilitySet::EMPTY, |set, name| {
                caps::Capability::from_str(name)
                    .map(|capability| CapabilitySet(set.0 | capability.bitmask()))
                    .map_err(|_| UnknownCapability(name.to_owned()))
            })
    }

    /// Whether the set has no capability.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One bit for each capability, as `CapEff` in `/proc/self/status` shows it.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Whether `capability` is in the set.
    pub fn contains(self, capability: caps::Capability) -> bool {
        self.0 & capability.bitmask() != 0
    }

    /// The set in the form the `caps` crate takes.
    pub fn to_caps(self) -> caps::CapsHashSet {
        caps::all()
            .into_iter()
            .filter(|capability| self.contains(*capability))
            .collect()
    }
}

impl FromIterator<caps::Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = caps::Capability>>(capabilities: I) -> CapabilitySet {
        CapabilitySet(
            capabilities
                .into_iter()
                .fold(0, |bits, c| bits | c.bitmask()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_the_kernels_bits() {
        let set = CapabilitySet::from_names(["CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"]).unwrap();
        assert_eq!(set.bits(), 1 | 1 << 40);
        assert_eq!(set.to_caps().into_iter().collect::<CapabilitySet>(), set);
        assert!(!set.is_empty() && CapabilitySet::EMPTY.is_empty());
    }

    #[test]
    fn unknown_name_is_named() {
        let error = CapabilitySet::from_names(["CAP_KILL", "CAP_FLY"]).unwrap_err();
        assert_eq!(error, UnknownCapability("CAP_FLY".to_owned()));
    }
}
