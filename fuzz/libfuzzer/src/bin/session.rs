#![no_main]

northstar_libfuzzer::target!(northstar_fuzz::targets::session::TARGET);
