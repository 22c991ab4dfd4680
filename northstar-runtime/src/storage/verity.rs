//! The dm-verity device over a loop device.
//!
//! Kernel documentation: `Documentation/admin-guide/device-mapper/verity.rst`. The table names the device once for
//! the data and once for the tree, which follows the data in the same image, and never carries an optional
//! parameter: all of them either weaken the check (`ignore_corruption`, `check_at_most_once`) or turn one flipped
//! bit into a reboot. What the kernel loaded is read back and compared.
//!
//! The device is removed with its last user from before it is used for the first time: this process holds its node
//! open until the mount holds the device. So whenever this process ends, the device ends.

use std::{
    fmt::Write,
    fs::File,
    io,
    os::fd::AsFd,
    path::PathBuf,
    time::{Duration, Instant},
};

use devicemapper::{DM, DevId, Device, DmFlags, DmName, DmOptions, DmUuid};
use northstar_manifest::Container;
use northstar_npk::verity::Verity;
use northstar_sys::device_mapper::{self, Removal, Removed};

use super::{backoff::Backoff, cleanup::CleanupError, error::DmError, instance::Mark, node};

/// Bytes of a sector in a device-mapper table.
const SECTOR: u64 = 512;
/// Bytes of a block of data and of the tree.
const BLOCK: u64 = 4096;
/// What the uuid of each of our devices begins with; the mark follows.
pub(super) const UUID_PREFIX: &str = "NORTHSTAR-";
/// How long a device may stay in use after its mount is gone.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(5);

/// One line of a device-mapper table: start and length in sectors, target, parameters.
type Line = (u64, u64, String, String);

/// The table of a verity device on `device`, a block device with data, superblock and tree.
pub(super) fn table(device: &str, verity: &Verity) -> Line {
    // 1: superblock format with the salt in front. Data and tree are on the same device.
    let mut parameters = format!(
        "1 {device} {device} {BLOCK} {BLOCK} {} {} sha256 ",
        verity.data_blocks,
        verity.hash_start_block(),
    );
    push_hex(&mut parameters, &verity.root_hash);
    parameters.push(' ');
    if verity.salt.is_empty() {
        parameters.push('-');
    } else {
        push_hex(&mut parameters, &verity.salt);
    }
    let sectors = verity.data_blocks.saturating_mul(BLOCK / SECTOR);
    (0, sectors, "verity".to_owned(), parameters)
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}

/// A verity device of ours.
#[derive(Debug)]
pub(super) struct VerityDevice {
    name: String,
    number: Device,
    /// Keeps the device until the mount does.
    node: Option<File>,
    removed: bool,
}

impl VerityDevice {
    /// Makes a verity device over the block device `major:minor` in `below`.
    pub(super) fn create(
        below: Device,
        verity: &Verity,
        container: &Container,
        deadline: Instant,
    ) -> Result<Self, DmError> {
        let control = DM::new().map_err(DmError::Control)?;
        let mark = Mark::next().map_err(DmError::Mark)?;
        // The container's name is there for people only; the mark alone is unique.
        let name = format!("{mark}-{}", container.name());
        let uuid = format!("{UUID_PREFIX}{mark}");
        let expected = table(&below.to_string(), verity);

        // 1. A device without a table.
        let read_only = DmOptions::default().set_flags(DmFlags::DM_READONLY);
        let failed = |operation| request(operation, &name);
        let dm_name = DmName::new(&name).map_err(failed("name"))?;
        let dm_uuid = DmUuid::new(&uuid).map_err(failed("uuid"))?;
        let number = control
            .device_create(dm_name, Some(dm_uuid), read_only)
            .map_err(failed("DM_DEV_CREATE"))?
            .device();
        let mut device = Self {
            name: name.clone(),
            number,
            node: None,
            removed: false,
        };

        // 2. The table, not in force yet. From here on the device below is held.
        let id = DevId::Name(dm_name);
        control
            .table_load(&id, std::slice::from_ref(&expected), read_only)
            .map_err(failed("DM_TABLE_LOAD"))?;

        // 3. Removal with the last user. The node held here is the first one.
        let path = device.path();
        let opened = node::open(&path, device.number(), deadline)
            .map_err(|source| DmError::Node { path, source })?;
        device.node = Some(opened);
        device_mapper::remove(control.file().as_fd(), &name, Removal::Deferred)
            .map_err(DmError::Ioctl)?;

        // 4. The table in force ("resume" is the only word the interface has for it).
        device_mapper::resume(control.file().as_fd(), &name).map_err(DmError::Ioctl)?;
        device.read_back(&control, &id, &expected)?;
        Ok(device)
    }

    /// Compares what is in force with what was asked for.
    fn read_back(&self, control: &DM, id: &DevId<'_>, expected: &Line) -> Result<(), DmError> {
        let options = DmOptions::default().set_flags(DmFlags::DM_STATUS_TABLE);
        let (info, lines) = control
            .table_status(id, options)
            .map_err(request("DM_TABLE_STATUS", &self.name))?;
        if lines.as_slice() != std::slice::from_ref(expected) {
            return Err(DmError::Table {
                name: self.name.clone(),
                expected: format!("{expected:?}"),
                actual: format!("{lines:?}"),
            });
        }
        if info.flags().contains(DmFlags::DM_READONLY) {
            Ok(())
        } else {
            Err(DmError::Writable {
                name: self.name.clone(),
            })
        }
    }

    /// The device's node.
    pub(super) fn path(&self) -> PathBuf {
        node::device_mapper(self.number.minor)
    }

    /// The device's number as in `st_rdev`.
    pub(super) fn number(&self) -> u64 {
        rustix::fs::makedev(self.number.major, self.number.minor)
    }

    /// Leaves the device to its mount: it goes when the mount goes.
    pub(super) fn hand_over(&mut self) {
        self.node = None;
    }

    /// Removes the device, whose mount is gone.
    pub(super) fn release(mut self) -> Result<(), CleanupError> {
        self.removed = true;
        drop(self.node.take());
        let failed = |source| CleanupError::RemoveVerity {
            name: self.name.clone(),
            source: Box::new(source),
        };
        let control = DM::new().map_err(DmError::Control).map_err(failed)?;
        let mut backoff = Backoff::until(Instant::now() + REMOVAL_TIMEOUT);
        loop {
            let error =
                match device_mapper::remove(control.file().as_fd(), &self.name, Removal::Now) {
                    Ok(Removed::Gone) => return Ok(()),
                    Ok(Removed::Deferred) => None,
                    Err(error) => Some(error),
                };
            match error {
                // The removal that was asked for ahead came first.
                Some(error) if error.errno() == nix::libc::ENXIO => return Ok(()),
                Some(error) if error.errno() != nix::libc::EBUSY => {
                    return Err(failed(DmError::Ioctl(error)));
                }
                // udev may look at a device at any time, and a container's mount may end late.
                _ => {}
            }
            if !backoff.wait() {
                return Err(CleanupError::VerityBusy {
                    name: self.name.clone(),
                    after: REMOVAL_TIMEOUT,
                });
            }
        }
    }
}

impl Drop for VerityDevice {
    fn drop(&mut self) {
        if self.removed {
            return;
        }
        drop(self.node.take());
        let removed = DM::new().map_err(DmError::Control).and_then(|control| {
            device_mapper::remove(control.file().as_fd(), &self.name, Removal::Deferred)
                .map_err(DmError::Ioctl)
        });
        match removed {
            Ok(_) => {}
            Err(DmError::Ioctl(error)) if error.errno() == nix::libc::ENXIO => {}
            Err(error) => tracing::warn!("removal of the verity device {}: {error}", self.name),
        }
    }
}

/// The kernel's answer without the headers that the crate's errors carry around it.
fn request(operation: &'static str, name: &str) -> impl Fn(devicemapper::DmError) -> DmError {
    move |error| DmError::Request {
        operation,
        name: name.to_owned(),
        source: match error {
            devicemapper::DmError::Core(devicemapper::errors::Error::Ioctl(.., errno)) => {
                io::Error::from_raw_os_error(*errno as i32)
            }
            other => io::Error::other(other),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verity(salt: Vec<u8>) -> Verity {
        Verity {
            root_hash: [0xab; 32],
            salt,
            data_blocks: 300,
            tree_offset_in_image: 301 * 4096,
        }
    }

    #[test]
    fn the_table_has_the_ten_parameters_of_the_kernel_and_nothing_after_them() {
        let (start, sectors, target, parameters) = table("7:3", &verity(vec![1, 0x2f]));
        assert_eq!((start, sectors, target.as_str()), (0, 2400, "verity"));
        assert_eq!(
            parameters,
            format!(
                "1 7:3 7:3 4096 4096 300 301 sha256 {} 012f",
                "ab".repeat(32)
            )
        );
        assert_eq!(parameters.split(' ').count(), 10);
    }

    #[test]
    fn no_salt_is_a_dash() {
        let (.., parameters) = table("7:0", &verity(Vec::new()));
        assert!(parameters.ends_with("ab -"), "{parameters}");
    }
}
