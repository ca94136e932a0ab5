//! `keyauth`, where tests of other packages than its own find it.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyauth_cli::main()
}
