//! Limits on block devices on version 1.

use super::limits::attributes;
use super::plan::{IoPlan, Throttle};
use super::{CgroupError, file};
use cgroups_rs::fs::blkio::BlkIoController;
use cgroups_rs::fs::error::Result as SetResult;
use std::path::Path;

/// Applies the limits on block devices.
pub(super) fn apply(directory: &Path, plan: &IoPlan) -> Result<(), CgroupError> {
    weights(directory, plan)?;
    throttles(directory, plan)?;
    attributes(directory, &["blkio."], &plan.attributes)
}

fn weights(directory: &Path, plan: &IoPlan) -> Result<(), CgroupError> {
    if let Some(weight) = plan.weight {
        let name = weight_file(directory, "blkio.weight", "blkio.bfq.weight");
        file::write_and_verify(
            directory,
            name,
            &weight.to_string(),
            file::is_number(weight),
        )?;
    }
    if let Some(weight) = plan.leaf_weight {
        file::write_and_verify(
            directory,
            "blkio.leaf_weight",
            &weight.to_string(),
            file::is_number(weight),
        )?;
    }
    for device in &plan.device_weights {
        let weights = [
            (
                weight_file(directory, "blkio.weight_device", "blkio.bfq.weight_device"),
                device.weight,
            ),
            ("blkio.leaf_weight_device", device.leaf_weight),
        ];
        for (name, weight) in weights {
            let Some(weight) = weight else { continue };
            let value = format!("{}:{} {weight}", device.major, device.minor);
            file::write_and_verify(directory, name, &value, file::has_line(value.clone()))?;
        }
    }
    Ok(())
}

/// The weight file of this kernel: CFQ's until 5.0, BFQ's where it is loaded.
fn weight_file<'a>(directory: &Path, cfq: &'a str, bfq: &'a str) -> &'a str {
    if !file::exists(directory, cfq) && file::exists(directory, bfq) {
        bfq
    } else {
        cfq
    }
}

/// One throttle setter of the cgroups crate with the file it writes.
type ThrottleSetter = fn(&BlkIoController, u64, u64, u64) -> SetResult<()>;

fn throttles(directory: &Path, plan: &IoPlan) -> Result<(), CgroupError> {
    let controller = BlkIoController::new(directory.to_owned(), directory.to_owned(), false);
    let throttles: [(&str, &[Throttle], ThrottleSetter); 4] = [
        (
            "blkio.throttle.read_bps_device",
            &plan.read_bps,
            BlkIoController::throttle_read_bps_for_device,
        ),
        (
            "blkio.throttle.write_bps_device",
            &plan.write_bps,
            BlkIoController::throttle_write_bps_for_device,
        ),
        (
            "blkio.throttle.read_iops_device",
            &plan.read_iops,
            BlkIoController::throttle_read_iops_for_device,
        ),
        (
            "blkio.throttle.write_iops_device",
            &plan.write_iops,
            BlkIoController::throttle_write_iops_for_device,
        ),
    ];
    for (name, list, setter) in throttles {
        for Throttle { major, minor, rate } in list.iter().copied() {
            let value = format!("{major}:{minor} {rate}");
            let set = || setter(&controller, major, minor, rate);
            file::set(directory, name, &value, set, file::has_line(value.clone()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::DeviceWeight;
    use std::fs;

    /// CFQ had the names without `bfq`; of two schedulers the one that groups were made for.
    #[test]
    fn weights_go_to_the_file_that_the_kernel_has() {
        let device = DeviceWeight {
            major: 8,
            minor: 16,
            weight: Some(300),
            leaf_weight: None,
        };
        let plan = IoPlan {
            weight: Some(500),
            device_weights: vec![device],
            ..IoPlan::default()
        };
        const CFQ: [&str; 2] = ["blkio.weight", "blkio.weight_device"];
        const BFQ: [&str; 2] = ["blkio.bfq.weight", "blkio.bfq.weight_device"];
        for (present, written) in [
            (&CFQ[..], CFQ),
            (&BFQ[..], BFQ),
            (&[CFQ, BFQ].concat()[..], CFQ),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
            for name in present {
                fs::write(directory.path().join(name), "").unwrap();
            }
            apply(directory.path(), &plan).unwrap();
            assert_eq!(written.map(read), ["500", "8:16 300"], "{present:?}");
        }
        let nothing = tempfile::tempdir().unwrap();
        match apply(nothing.path(), &plan) {
            Err(CgroupError::Missing { file, .. }) => {
                assert_eq!(file, nothing.path().join("blkio.weight"));
            }
            other => panic!("{other:?}"),
        }
    }
}
