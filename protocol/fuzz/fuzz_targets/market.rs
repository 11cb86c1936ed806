#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| leoma_fuzz::market(data));
