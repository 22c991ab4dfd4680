//! northstar-client
