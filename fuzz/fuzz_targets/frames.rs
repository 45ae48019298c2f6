//! See `beluga_fuzz::frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| beluga_fuzz::frames(bytes));
