//! See `beluga_fuzz::payloads`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| beluga_fuzz::payloads(bytes));
