//! What the command line has.

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::doctor::Doctor;
use crate::manage::Manage;
use crate::settings::{Options, StoreOptions};

/// API keys: issued, verified, limited and revoked.
///
/// What is not said on the command line is taken from the environment, then from the file that
/// --config names, and then from the defaults.
#[derive(Debug, Parser)]
#[command(name = "keyauth", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage or settings, \
                          3 no answer: the database or the server is away, \
                          4 the database must be migrated first, \
                          5 the key that `verify` was asked about is refused";

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
pub(crate) enum Command {
    /// Run the server: the management API under /v1, decisions for proxies at /auth.
    ///
    /// Without options it keeps keys in keyauth.db in the working directory and listens on
    /// 127.0.0.1:8080. The first start makes an administrator's key: printed where standard output
    /// is a terminal, and else written to keyauth-admin.key, which only you can read.
    Serve(Options),
    /// Bring the database's schema up to date.
    ///
    /// A SQLite file is brought up to date by whatever opens it, too; PostgreSQL by this alone.
    Migrate(StoreOptions),
    /// Make another administrator's key, where the first one is lost.
    ///
    /// It may do everything, in every tenant, and is told like the first one.
    AdminKey(StoreOptions),
    #[command(flatten)]
    Manage(Manage),
    /// Check the database, its schema, clock and feed of changes, and Redis, and say what to do; or
    /// a server and a key for it.
    Doctor(Doctor),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_whole() {
        super::Args::command().debug_assert();
    }
}
