//! Well-behaved clients.

mod handshake;
mod notifications;
mod requests;

use super::*;
use crate::supervisor::{ExitStatus, MemoryEvents};
use northstar_manifest::Permission;
use std::time::Instant;
