//! keyauth as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyauth_cli::main()
}
