#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keyauth_cli::fuzzing::settings(bytes));
