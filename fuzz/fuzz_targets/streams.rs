//! See `beluga_fuzz::models::streams`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| beluga_fuzz::models::streams(bytes));
