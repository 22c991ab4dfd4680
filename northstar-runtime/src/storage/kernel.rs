//! What the running kernel can do.

use std::{os::fd::AsFd, sync::Arc};

use northstar_sys::device_mapper;
use thiserror::Error;

/// The features of the running kernel that the way of mounting depends on.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The device mapper with its target `verity`.
    pub device_mapper: Result<(), MissingFeature>,
}

/// A feature that the kernel does not have, and what to do about it.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum MissingFeature {
    /// There is no device mapper.
    #[error(
        "the kernel has no device mapper (CONFIG_BLK_DEV_DM, CONFIG_DM_VERITY): load the modules dm_mod and dm_verity, \
         or set `integrity = \"full-read\"` for the repository"
    )]
    DeviceMapper(#[source] Arc<devicemapper::DmError>),
    /// There is a device mapper without the target `verity`.
    #[error(
        "the device mapper has no target verity (CONFIG_DM_VERITY): load the module dm_verity, \
         or set `integrity = \"full-read\"` for the repository"
    )]
    Verity(#[source] Arc<northstar_sys::Error>),
}

impl Kernel {
    /// Asks the kernel. The request makes it load `dm_mod` and `dm_verity` where they are modules it can find.
    pub fn detect() -> Self {
        Self {
            device_mapper: verity(),
        }
    }
}

fn verity() -> Result<(), MissingFeature> {
    let control =
        devicemapper::DM::new().map_err(|error| MissingFeature::DeviceMapper(Arc::new(error)))?;
    device_mapper::target_version(control.file().as_fd(), "verity")
        .map(drop)
        .map_err(|error| MissingFeature::Verity(Arc::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_feature_names_the_option_and_the_way_out() {
        let missing = [
            MissingFeature::DeviceMapper(Arc::new(devicemapper::DmError::Core(
                devicemapper::errors::Error::ContextInit("ENOENT".into()),
            ))),
            MissingFeature::Verity(Arc::new(northstar_sys::Error::from_errno(
                "ioctl",
                "DM_GET_TARGET_VERSION verity",
                nix::libc::EINVAL,
            ))),
        ];
        for feature in missing {
            let text = feature.to_string();
            assert!(text.contains("CONFIG_DM_VERITY"), "{text}");
            assert!(text.contains("dm_verity"), "{text}");
            assert!(text.contains("integrity = \"full-read\""), "{text}");
        }
    }
}
