//! northstar-api
