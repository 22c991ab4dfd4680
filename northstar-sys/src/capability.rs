//! The bounding set beyond the capabilities a library knows by name.
//!
//! The `caps` crate names the capabilities of the kernel it was written for. A newer kernel may
//! have more; a set is only exact when those are gone, too. Source: capabilities(7), prctl(2).

use crate::Result;
use crate::error::check;

/// Capability numbers the kernel interface can carry: two 32 bit words.
const MAX: u32 = 63;

/// Tells whether `capability` is in this thread's bounding set; `None` when the kernel does not
/// know the number.
pub fn is_bounding(capability: u32) -> Option<bool> {
    // SAFETY: PR_CAPBSET_READ takes one number and touches no memory.
    let returned = unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) };
    match returned {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Removes every capability above `last_named` that this kernel knows from the bounding set.
///
/// # Errors
/// EPERM without CAP_SETPCAP.
pub fn drop_bounding_above(last_named: u32) -> Result<()> {
    for capability in last_named.saturating_add(1)..=MAX {
        match is_bounding(capability) {
            Some(true) => {
                // SAFETY: PR_CAPBSET_DROP takes one number and touches no memory.
                let returned = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
                check("prctl", returned.into(), || {
                    format!("PR_CAPBSET_DROP, {capability}")
                })?;
            }
            Some(false) => {}
            // The kernel numbers them without gaps.
            None => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_knows_chown_and_not_63() {
        assert!(is_bounding(0).is_some());
        assert_eq!(is_bounding(MAX), None);
    }
}
