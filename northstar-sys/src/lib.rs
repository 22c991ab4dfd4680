//! northstar-sys
