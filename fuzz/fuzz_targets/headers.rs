//! See `beluga_fuzz::headers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| beluga_fuzz::headers(bytes));
