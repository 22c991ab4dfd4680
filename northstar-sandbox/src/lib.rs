//! northstar-sandbox
