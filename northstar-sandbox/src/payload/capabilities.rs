//! Runs in the payload, after fork (the bounding set also in init). The five capability sets,
//! capabilities(7), all equal to the plan and read back.
//!
//! The order follows from the kernel's rules: the bounding set and the secure bits take
//! CAP_SETPCAP, so they come while it is there; inheritable must be within permitted, ambient
//! within both.

use caps::{CapSet, Capability, CapsHashSet};
use northstar_sys::capability::drop_bounding_above;
use rustix::io::Errno;
use rustix::thread::CapabilitiesSecureBits;

use crate::plan::CapabilitySet;
use crate::step::{At, Step, StepError};

/// Makes `wanted` the bounding, permitted, effective, inheritable and ambient set.
pub(super) fn set(wanted: CapabilitySet) -> Result<(), StepError> {
    make_exact(wanted.to_caps()).at(Step::Capabilities)
}

fn make_exact(wanted: CapsHashSet) -> Result<(), Errno> {
    // The change of user emptied the effective set; the permitted one was kept for this.
    check(caps::raise(
        None,
        CapSet::Effective,
        Capability::CAP_SETPCAP,
    ))?;

    drop_bounding(&wanted)?;

    // User 0 is nothing special for this process and what it executes, for ever, should it become
    // user 0 by CAP_SETUID. What the other bits do is fixed at the kernel's default.
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    rustix::thread::set_capabilities_secure_bits(bits)?;

    check(caps::clear(None, CapSet::Ambient))?;
    check(caps::set(None, CapSet::Inheritable, &wanted))?;
    check(caps::set(None, CapSet::Effective, &wanted))?;
    check(caps::set(None, CapSet::Permitted, &wanted))?;
    for capability in &wanted {
        check(caps::raise(None, CapSet::Ambient, *capability))?;
    }

    let sets = [
        CapSet::Bounding,
        CapSet::Permitted,
        CapSet::Effective,
        CapSet::Inheritable,
        CapSet::Ambient,
    ];
    for set in sets {
        if check(caps::read(None, set))? != wanted {
            return Err(Errno::PROTO);
        }
    }
    if rustix::thread::capabilities_secure_bits()? == bits {
        Ok(())
    } else {
        Err(Errno::PROTO)
    }
}

/// Leaves only `keep` in the bounding set, of what this kernel knows.
pub(crate) fn drop_bounding(keep: &CapsHashSet) -> Result<(), Errno> {
    let known = caps::runtime::thread_all_supported();
    for capability in known.difference(keep) {
        check(caps::drop(None, CapSet::Bounding, *capability))?;
    }
    let last = caps::all().iter().map(Capability::index).max().unwrap_or(0);
    drop_bounding_above(last.into()).map_err(|e| Errno::from_raw_os_error(e.errno()))
}

/// The errors of the `caps` crate are texts; the errno is still where the call left it.
fn check<T>(result: Result<T, caps::errors::CapsError>) -> Result<T, Errno> {
    result.map_err(|_| {
        let last = std::io::Error::last_os_error().raw_os_error();
        last.map_or(Errno::PERM, Errno::from_raw_os_error)
    })
}
