//! northstar-sandbox

pub mod seccomp;
