//! Block device limits on version 2.

use super::limits::attributes;
use super::plan::{IoPlan, Throttle, io_weight};
use super::{CgroupError, file};
use cgroups_rs::fs::blkio::BlkIoController;
use cgroups_rs::fs::error::Result as SetResult;
use std::path::Path;

/// One throttle setter of the cgroups crate with its key in `io.max`.
type ThrottleSetter = fn(&BlkIoController, u64, u64, u64) -> SetResult<()>;

pub(super) fn apply(directory: &Path, plan: &IoPlan) -> Result<(), CgroupError> {
    if let Some(weight) = plan.weight {
        set_weight(directory, "default", weight)?;
    }
    if let Some(weight) = plan.leaf_weight {
        let value = weight.to_string();
        file::write_and_verify(directory, "io.leaf_weight", &value, file::is_number(weight))?;
    }
    for device in &plan.device_weights {
        let name = format!("{}:{}", device.major, device.minor);
        if let Some(weight) = device.weight {
            set_weight(directory, &name, weight)?;
        }
        if let Some(weight) = device.leaf_weight {
            let value = format!("{name} {weight}");
            file::write_and_verify(
                directory,
                "io.leaf_weight",
                &value,
                file::has_line(value.clone()),
            )?;
        }
    }
    let controller = BlkIoController::new(directory.to_owned(), directory.to_owned(), true);
    let throttles: [(&str, &[Throttle], ThrottleSetter); 4] = [
        (
            "rbps",
            &plan.read_bps,
            BlkIoController::throttle_read_bps_for_device,
        ),
        (
            "wbps",
            &plan.write_bps,
            BlkIoController::throttle_write_bps_for_device,
        ),
        (
            "riops",
            &plan.read_iops,
            BlkIoController::throttle_read_iops_for_device,
        ),
        (
            "wiops",
            &plan.write_iops,
            BlkIoController::throttle_write_iops_for_device,
        ),
    ];
    for (key, list, setter) in throttles {
        for Throttle { major, minor, rate } in list.iter().copied() {
            let value = format!("{major}:{minor} {key}={rate}");
            let set = || setter(&controller, major, minor, rate);
            file::set(directory, "io.max", &value, set, |found| {
                has_device_value(&value, found)
            })?;
        }
    }
    attributes(directory, &["io."], &plan.attributes)
}

/// Sets a weight for all devices or one, for whichever policy the kernel has:
/// io.weight works with the cost model, io.bfq.weight with the BFQ scheduler.
fn set_weight(directory: &Path, device: &str, weight: u16) -> Result<(), CgroupError> {
    let bfq = file::exists(directory, "io.bfq.weight");
    if bfq {
        let value = format!("{device} {weight}");
        file::write_and_verify(
            directory,
            "io.bfq.weight",
            &value,
            weight_holds(device, weight.into()),
        )?;
    }
    if !bfq || file::exists(directory, "io.weight") {
        if !(10..=1_000).contains(&weight) {
            // There is nothing it could become.
            return Err(CgroupError::Limit {
                limit: "weight",
                value: weight.to_string(),
                reason: "not between 10 and 1000",
            });
        }
        let value = format!("{device} {}", io_weight(weight));
        file::write_and_verify(
            directory,
            "io.weight",
            &value,
            weight_holds(device, io_weight(weight)),
        )?;
    }
    Ok(())
}

/// Kernels with BFQ show the default either with its key or alone.
fn weight_holds(device: &str, weight: u64) -> impl FnOnce(&str) -> bool {
    let line = format!("{device} {weight}");
    let alone = device == "default";
    move |found| file::has_line(line)(found) || alone && file::has_line(weight.to_string())(found)
}

/// Whether the line of a device in `io.max` has a value.
fn has_device_value(expected: &str, found: &str) -> bool {
    let Some((device, value)) = expected.split_once(' ') else {
        return false;
    };
    found.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some(device) && words.any(|word| word == value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::DeviceWeight;

    #[test]
    fn weight_that_cannot_be_translated_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("io.weight");
        for (weight, allowed) in [(9, false), (10, true), (1_000, true), (1_001, false)] {
            let one = DeviceWeight {
                major: 8,
                minor: 0,
                weight: Some(weight),
                leaf_weight: None,
            };
            let all = IoPlan {
                weight: Some(weight),
                ..IoPlan::default()
            };
            let device = IoPlan {
                device_weights: vec![one],
                ..IoPlan::default()
            };
            for plan in [all, device] {
                std::fs::write(&file, "").unwrap();
                match apply(directory.path(), &plan) {
                    Err(CgroupError::Limit {
                        limit: "weight",
                        value,
                        ..
                    }) if !allowed => assert_eq!(value, weight.to_string()),
                    result => result.unwrap(),
                }
            }
        }
    }

    #[test]
    fn device_values_are_found_in_their_line() {
        let content =
            "7:0 rbps=max wbps=2 riops=max wiops=max\n8:0 rbps=1 wbps=max riops=max wiops=max";
        assert!(has_device_value("8:0 rbps=1", content));
        assert!(!has_device_value("7:0 rbps=1", content));
        assert!(!has_device_value("8:0 wbps=2", content));
        assert!(!has_device_value("8:0 rbps=11", content));
    }
}
