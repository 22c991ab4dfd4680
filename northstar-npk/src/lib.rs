//! northstar-npk
