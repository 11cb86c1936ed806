#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    leoma_fuzz::texts(data);
    leoma_fuzz::files_of_the_subnet(data);
});
