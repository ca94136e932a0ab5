//! Measures keyauth beside the same written by hand.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyauth_bench::main()
}
