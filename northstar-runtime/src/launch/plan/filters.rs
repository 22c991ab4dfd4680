//! Compiled system call lists: a container that starts again has the same one.

use crate::launch::Error;
use northstar_manifest::{ArgumentRule, Manifest, Profile, Rule};
use northstar_sandbox::seccomp::{self, Arch, Program, SeccompSpec};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Most lists kept, some 10 KiB each. Many packages have the same one.
const MOST: usize = 64;

/// The lists that were compiled.
#[derive(Debug, Default)]
pub(crate) struct Filters(Mutex<HashMap<SeccompSpec, Arc<Vec<Program>>>>);

impl Filters {
    /// The programs for the list of a manifest, in the order in which they are to be installed.
    pub(super) fn programs(&self, manifest: &Manifest) -> Result<Arc<Vec<Program>>, Error> {
        let Some(spec) = spec(manifest)? else {
            return Ok(Arc::default());
        };
        if let Some(programs) = self.lock().get(&spec) {
            return Ok(Arc::clone(programs));
        }
        // Without the lock: that two compile the same list does no harm.
        let arch = Arch::native().ok_or(Error::SeccompArchitecture)?;
        let programs = seccomp::compile(&spec, arch).map_err(Error::Seccomp)?;
        let programs = Arc::new(programs);
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(spec, Arc::clone(&programs));
        Ok(programs)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SeccompSpec, Arc<Vec<Program>>>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spec(manifest: &Manifest) -> Result<Option<SeccompSpec>, Error> {
    let Some(seccomp) = &manifest.seccomp else {
        return Ok(None);
    };
    let allow = seccomp.allow.iter().flatten().map(|(name, rule)| {
        let rule = match rule {
            Rule::Any => seccomp::Rule::Any,
            Rule::Args(ArgumentRule {
                index,
                values,
                mask,
            }) => seccomp::Rule::Args {
                // Out of range is out of range for the compiler too, which refuses it.
                index: u8::try_from(*index).unwrap_or(u8::MAX),
                values: values.clone().unwrap_or_default(),
                mask: *mask,
            },
        };
        (name.clone(), rule)
    });
    let capabilities = super::process::capabilities(manifest)?.to_caps();
    let mut capabilities: Vec<_> = capabilities.into_iter().collect();
    // They come in no order, and the list is looked up.
    capabilities.sort_by_key(|capability| capability.index());
    Ok(Some(SeccompSpec {
        profile: seccomp
            .profile
            .map(|Profile::Default| seccomp::Profile::Default),
        allow: allow.collect(),
        capabilities,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(more: &str) -> Manifest {
        let text = format!("name: a\nversion: 1.0.0\ninit: /a\nuid: 1\ngid: 1\n{more}");
        Manifest::from_yaml(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_list_is_compiled_once_and_never_mistaken_for_another() {
        let filters = Filters::default();
        let programs = |more: &str| filters.programs(&manifest(more)).unwrap();
        let default = programs("seccomp: {profile: default}");
        assert!(Arc::ptr_eq(
            &default,
            &programs("seccomp: {profile: default}")
        ));
        let others = [
            programs("capabilities: [CAP_NET_RAW]\nseccomp: {profile: default}"),
            programs("seccomp: {profile: default, allow: {bpf: any}}"),
            programs("seccomp: {allow: {bpf: any}}"),
        ];
        for other in &others {
            assert_ne!(**other, *default);
        }
        assert!(programs("").is_empty());
        // Bounded, and right when it is full.
        for value in 0..=MOST {
            let allow =
                format!("seccomp: {{allow: {{bpf: !args {{index: 0, values: [{value}]}}}}}}");
            programs(&allow);
        }
        assert!(filters.lock().len() <= MOST);
        assert_eq!(*programs("seccomp: {profile: default}"), *default);
    }

    /// The capabilities of a set come in no order.
    #[test]
    fn equal_lists_are_found_whatever_the_order_of_capabilities() {
        let filters = Filters::default();
        let text = "capabilities: [CAP_NET_RAW, CAP_BPF, CAP_CHOWN, CAP_KILL, CAP_SYS_TIME]\n\
                    seccomp: {profile: default}";
        let first = filters.programs(&manifest(text)).unwrap();
        for _ in 0..16 {
            assert!(Arc::ptr_eq(
                &first,
                &filters.programs(&manifest(text)).unwrap()
            ));
        }
    }
}
