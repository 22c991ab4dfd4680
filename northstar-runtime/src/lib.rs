//! northstar-runtime
