//! Names, versions, permissions and the container manifest: pure data.
//!
//! Every package carries a `manifest.yaml`. [`Manifest::from_yaml`] reads one in two passes:
//! `outline` walks the YAML events and refuses what a manifest never needs (anchors, aliases,
//! foreign tags, merge keys, more than one document, deep nesting), then serde builds the typed
//! [`Manifest`], which `validate` checks field by field. Each file below holds one group of
//! fields: its types, how they are written and what is allowed.
//!
//! The serde form of [`Manifest`] is the JSON that the console's `inspect` answers with; the YAML
//! of a package is written by [`Manifest::to_yaml`].

mod autostart;
mod capability;
mod cgroups;
mod compat;
mod console;
mod container;
mod device;
mod error;
mod io;
mod manifest;
mod mount;
mod mount_options;
mod name;
mod network;
mod outline;
mod permission;
mod process;
mod rlimit;
mod sched;
#[cfg(feature = "schema")]
mod schema;
mod seccomp;
mod selinux;
mod size;
mod socket;
#[cfg(test)]
mod tests;
mod text;
mod validate;
mod version;
mod yaml;

pub use autostart::Autostart;
pub use capability::Capability;
pub use cgroups::{BlkIo, BlkIoThrottle, BlkIoWeight, CGroups, Cpu, Memory, Pids};
pub use compat::{Compatible, Difference};
pub use console::Console;
pub use container::{Container, InvalidContainer};
pub use device::{DeviceAccess, DeviceKind, DeviceRule, InvalidDeviceAccess};
pub use error::{Construct, FieldError, ManifestError, Problem, WriteError};
pub use io::{Io, Output};
pub use manifest::Manifest;
pub use mount::Mount;
pub use mount_options::{MountOptions, UnknownMountOption};
pub use name::{InvalidName, Name};
pub use network::Network;
pub use permission::{Permission, Permissions, UnknownPermission};
pub use rlimit::{RlimitKind, RlimitValue};
pub use sched::{Deadline, Policy, Sched};
#[cfg(feature = "schema")]
pub use schema::schema;
pub use seccomp::{ArgumentRule, Profile, Rule, Seccomp};
pub use selinux::Selinux;
pub use semver::{Version, VersionReq};
pub use size::{InvalidSize, parse_size};
pub use socket::{Socket, SocketKind};

/// Largest `manifest.yaml` in bytes.
pub const MAX_MANIFEST_SIZE: usize = 64 * 1024;
/// Deepest nesting of mappings and sequences in a manifest.
pub const MAX_MANIFEST_DEPTH: usize = 16;
