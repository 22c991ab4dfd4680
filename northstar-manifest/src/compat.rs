//! What 0.9.2 makes of a manifest.
//!
//! 0.9.2 refuses unknown fields and enum variants, in a package as well as in the answer to
//! `inspect`. Here is what this version has beyond it.

use std::{fmt, path::Path};

use semver::{BuildMetadata, Prerelease};

use crate::{Manifest, Mount, Policy};

/// Largest user or group id of 0.9.2. As an id it means "none" (chown(2)), so it cannot be taken for
/// a real one.
const MAX_ID: u32 = u16::MAX as u32;

/// A manifest as 0.9.2 can read it from the console.
#[derive(Clone, Debug, PartialEq)]
pub struct Compatible {
    /// The manifest without what 0.9.2 does not know.
    pub manifest: Manifest,
    /// The fields that were removed or changed; empty if the manifest is whole.
    pub changed: Vec<String>,
}

/// A field that 0.9.2 reads differently or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field, for example `cgroups.pids`.
    pub field: String,
    /// Whether 0.9.2 refuses the whole package because of it. Otherwise the field is ignored there.
    pub refused: bool,
    /// What 0.9.2 makes of it.
    pub reason: &'static str,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.field, self.reason)
    }
}

impl Manifest {
    /// The manifest for a 0.9.2 console client: fields it does not know are left out, ids beyond
    /// 65535 are given as 65535.
    #[must_use]
    pub fn for_0_9_2(&self) -> Compatible {
        let mut manifest = self.clone();
        let mut changed = Vec::new();
        for (field, id) in [("uid", &mut manifest.uid), ("gid", &mut manifest.gid)] {
            if *id > MAX_ID {
                *id = MAX_ID;
                changed.push(field.to_owned());
            }
        }
        if let Some(sched) = &mut manifest.sched
            && let Policy::Deadline(parameters @ Some(_)) = &mut sched.policy
        {
            *parameters = None;
            changed.push("sched.policy".to_owned());
        }
        if let Some(cgroups) = &mut manifest.cgroups {
            if cgroups.pids.take().is_some() {
                changed.push("cgroups.pids".to_owned());
            }
            if cgroups.devices.take().is_some() {
                changed.push("cgroups.devices".to_owned());
            }
        }
        if std::mem::take(&mut manifest.userns) {
            changed.push("userns".to_owned());
        }
        Compatible { manifest, changed }
    }

    /// What 0.9.2 would refuse or ignore in a package with this manifest.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut add = |field: &str, refused: bool, reason: &'static str| {
            differences.push(Difference {
                field: field.to_owned(),
                refused,
                reason,
            });
        };
        if self.version.pre != Prerelease::EMPTY || self.version.build != BuildMetadata::EMPTY {
            add(
                "version",
                false,
                "0.9.2 drops the pre-release and build parts",
            );
        }
        for (field, id) in [("uid", self.uid), ("gid", self.gid)] {
            if id > MAX_ID {
                add(field, true, "0.9.2 reads ids up to 65535");
            }
        }
        if self.userns {
            add("userns", true, "0.9.2 knows no user namespaces");
        }
        match self.sched.as_ref().map(|sched| &sched.policy) {
            Some(Policy::Deadline(Some(_))) => {
                add(
                    "sched.policy",
                    true,
                    "0.9.2 knows `deadline` without parameters only",
                );
            }
            Some(Policy::RoundRobin { .. }) => {
                add("sched.policy", true, "0.9.2 refuses every `round_robin`");
            }
            _ => {}
        }
        if let Some(cgroups) = &self.cgroups {
            if cgroups.pids.is_some() {
                add("cgroups.pids", false, "0.9.2 ignores it");
            }
            if cgroups.devices.is_some() {
                add("cgroups.devices", false, "0.9.2 ignores it");
            }
        }
        for point in self.nested_binds() {
            let field = format!("mounts.{}", point.display());
            add(&field, true, "0.9.2 refuses a bind mount inside another");
        }
        differences
    }

    /// Bind mounts below the bind mount that precedes them in the order of the bytes; that is what
    /// 0.9.2 looks for.
    fn nested_binds(&self) -> Vec<&Path> {
        let mut binds: Vec<&Path> = self
            .mounts
            .iter()
            .filter(|(_, mount)| matches!(mount, Mount::Bind { .. }))
            .map(|(point, _)| point.as_path())
            .collect();
        binds.sort_by_key(|point| point.as_os_str());
        binds
            .iter()
            .zip(binds.iter().skip(1))
            .filter(|(parent, point)| point.starts_with(parent))
            .map(|(_, point)| *point)
            .collect()
    }
}
