//! northstar-manifest
