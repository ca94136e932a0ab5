//! keyauth as a program: what `keyauth` runs, so that other programs of this workspace can be it too.
//! None of it is an interface but the command line.

mod admin_key;
mod api;
mod args;
mod database;
mod doctor;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod length;
mod manage;
mod migrate;
mod secret;
mod serve;
mod settings;
mod shown;
mod signal;
mod told;

use std::process::ExitCode;

use args::{Args, Command};
use clap::{CommandFactory, Parser};
use settings::{StoreOptions, StoreSettings};
use told::Failure;

/// Runs the command line of this process to its end.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    // Nothing has chosen another before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match args.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "keyauth", &mut script);
            told::say(&script)
        }
        Command::Serve(options) => options.understood().and_then(|mut settings| {
            settings.store.log();
            run(serve::serve(settings))
        }),
        Command::Manage(command) => run(command.run()),
        Command::Doctor(doctor) => run(doctor.run()),
        Command::Migrate(options) => with_store(options, migrate::migrate),
        Command::AdminKey(options) => with_store(options, admin_key::replace),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

fn with_store<F>(
    options: StoreOptions,
    command: impl FnOnce(StoreSettings) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let mut settings = options.understood()?;
    settings.log();
    run(command(settings))
}

/// Runs a command on a runtime of its own.
fn run(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::other("no threads can be had", &error))?;
    runtime.block_on(command)
}
