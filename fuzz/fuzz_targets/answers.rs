//! See `beluga_fuzz::models::answers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| beluga_fuzz::models::answers(bytes));
