//! `cgroups`: limits and accounting (cgroups(7)). The fields follow cgroup v1, as 0.9.2 does.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    DeviceRule,
    error::Problem,
    text,
    validate::{At, Checked},
};

/// Longest name of an attribute file in bytes (NAME_MAX of limits.h).
const MAX_ATTRIBUTE: usize = 255;
/// Longest value of an attribute in bytes: the kernel takes no more than a page at once.
const MAX_ATTRIBUTE_VALUE: usize = 4095;
/// `pids.max` counts in the kernel's range of process ids (PID_MAX_LIMIT of threads.h).
const MAX_PIDS: i128 = 4_194_304;
const MAX_DEVICES: usize = 64;

/// Files written as they are, by name, after everything else of the controller.
type Attributes = BTreeMap<String, String>;

/// Limits of the container's control group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CGroups {
    /// Group above the container's, relative to the cgroup root, instead of the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "crate::schema::cgroup_parent")
    )]
    pub parent: Option<PathBuf>,
    /// Block devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blkio: Option<BlkIo>,
    /// CPU time and CPU sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Number of processes. Unknown to 0.9.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<Pids>,
    /// Devices the container may use, all others are denied. Unknown to 0.9.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64)))]
    pub devices: Option<Vec<DeviceRule>>,
}

/// The cpu and cpuset controllers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cpu {
    /// CPUs to run on, for example `0-2,4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::cpu_set"))]
    pub cpus: Option<String>,
    /// Memory nodes, in the same notation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::cpu_set"))]
    pub mems: Option<String>,
    /// Weight against the sibling groups, 2 to 262144.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 2, max = 262_144)))]
    pub shares: Option<u64>,
    /// CPU time in each period in microseconds; negative is unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<i64>,
    /// Length of a period in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1_000, max = 1_000_000)))]
    pub period: Option<u64>,
    /// Real-time CPU time in each real-time period in microseconds; v1 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realtime_runtime: Option<i64>,
    /// Length of a real-time period in microseconds; v1 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realtime_period: Option<u64>,
    /// Files written as they are.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "text::map"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "crate::schema::attributes")
    )]
    pub attrs: Attributes,
}

/// The memory controller. All limits are in bytes; negative is unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Memory {
    /// Notify console clients of memory events.
    #[serde(default)]
    pub oom_monitor: bool,
    /// Memory of the kernel on behalf of the container; v1 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_memory_limit: Option<i64>,
    /// Memory that is never exceeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_hard_limit: Option<i64>,
    /// Memory that the container is pushed back to under pressure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_soft_limit: Option<i64>,
    /// Memory for TCP buffers; v1 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_tcp_memory_limit: Option<i64>,
    /// Memory and swap together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_swap_limit: Option<i64>,
    /// How readily memory is swapped out, 0 to 200; v1 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(max = 200)))]
    pub swappiness: Option<u64>,
    /// Files written as they are.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "text::map"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "crate::schema::attributes")
    )]
    pub attrs: Attributes,
}

/// The blkio (v1) or io (v2) controller.
///
/// The five lists are always written, because 0.9.2 refuses a `blkio` without them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BlkIo {
    /// Weight against the sibling groups, 1 to 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000)))]
    pub weight: Option<u16>,
    /// Weight of the group's own processes against its children; v1 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000)))]
    pub leaf_weight: Option<u16>,
    /// Weights for single devices.
    #[serde(default)]
    pub weight_device: Vec<BlkIoWeight>,
    /// Bytes read per second.
    #[serde(default)]
    pub throttle_read_bps_device: Vec<BlkIoThrottle>,
    /// Reads per second.
    #[serde(default)]
    pub throttle_read_iops_device: Vec<BlkIoThrottle>,
    /// Bytes written per second.
    #[serde(default)]
    pub throttle_write_bps_device: Vec<BlkIoThrottle>,
    /// Writes per second.
    #[serde(default)]
    pub throttle_write_iops_device: Vec<BlkIoThrottle>,
    /// Files written as they are.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "text::map"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "crate::schema::attributes")
    )]
    pub attrs: Attributes,
}

/// Weight of a group for one block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BlkIoWeight {
    /// Major device number.
    pub major: u64,
    /// Minor device number.
    pub minor: u64,
    /// Weight against the sibling groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000)))]
    pub weight: Option<u16>,
    /// Weight of the group's own processes; v1 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000)))]
    pub leaf_weight: Option<u16>,
}

/// Rate limit for one block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BlkIoThrottle {
    /// Major device number.
    pub major: u64,
    /// Minor device number.
    pub minor: u64,
    /// Bytes or operations per second.
    pub rate: u64,
}

/// The pids controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pids {
    /// Most processes and threads at a time.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 4_194_304)))]
    pub max: u64,
}

impl CGroups {
    pub(crate) fn validate(&self, at: &At) -> Checked {
        if let Some(parent) = &self.parent {
            at.key("parent").relative(parent)?;
        }
        self.cpu
            .as_ref()
            .map_or(Ok(()), |cpu| cpu.validate(&at.key("cpu")))?;
        self.memory
            .as_ref()
            .map_or(Ok(()), |memory| memory.validate(&at.key("memory")))?;
        self.blkio
            .as_ref()
            .map_or(Ok(()), |blkio| blkio.validate(&at.key("blkio")))?;
        if let Some(Pids { max }) = self.pids {
            at.key("pids").key("max").range(max, 1, MAX_PIDS)?;
        }
        at.key("devices")
            .at_most(self.devices.as_ref().map_or(0, Vec::len), MAX_DEVICES)
    }
}

impl Cpu {
    fn validate(&self, at: &At) -> Checked {
        for (name, set) in [("cpus", &self.cpus), ("mems", &self.mems)] {
            let Some(set) = set else { continue };
            let at = at.key(name);
            at.filled(set, MAX_ATTRIBUTE_VALUE)?;
            let is_allowed = |c: char| c.is_ascii_digit() || matches!(c, ',' | '-' | ' ');
            at.characters(set, is_allowed, "digits, `,` and `-`, for example `0-2,4`")?;
        }
        at.key("shares").optional(self.shares, 2, 262_144)?;
        // The bounds of CFS bandwidth control (kernel/sched/core.c): 1 ms to 1 s.
        at.key("period").optional(self.period, 1_000, 1_000_000)?;
        validate_attributes(at, &self.attrs)
    }
}

impl Memory {
    fn validate(&self, at: &At) -> Checked {
        at.key("swappiness").optional(self.swappiness, 0, 200)?;
        validate_attributes(at, &self.attrs)
    }
}

impl BlkIo {
    fn validate(&self, at: &At) -> Checked {
        at.key("weight").optional(self.weight, 1, 10_000)?;
        at.key("leaf_weight")
            .optional(self.leaf_weight, 1, 10_000)?;
        let devices = at.key("weight_device");
        for (i, device) in self.weight_device.iter().enumerate() {
            let at = devices.key(i);
            at.key("weight").optional(device.weight, 1, 10_000)?;
            at.key("leaf_weight")
                .optional(device.leaf_weight, 1, 10_000)?;
        }
        validate_attributes(at, &self.attrs)
    }
}

/// An attribute is a file in the control group's directory and nowhere else.
fn validate_attributes(at: &At, attributes: &Attributes) -> Checked {
    let at = at.key("attrs");
    attributes.iter().try_for_each(|(name, value)| {
        let at = at.key(name);
        at.filled(name, MAX_ATTRIBUTE)?;
        at.characters(name, |c| c != '/', "any but `/`")?;
        let dots = name == "." || name == "..";
        at.ensure(!dots, || Problem::DotComponent { path: name.clone() })?;
        at.text(value, MAX_ATTRIBUTE_VALUE)
    })
}
