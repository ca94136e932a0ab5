//! keyauth as a program.

mod args;
mod database;
mod migrate;
mod serve;
mod settings;
mod told;

use std::process::ExitCode;

use args::{Args, Command};
use clap::{CommandFactory, Parser};
use told::Failure;

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.command {
        Command::Completions { shell } => {
            let mut out = std::io::stdout();
            clap_complete::generate(shell, &mut Args::command(), "keyauth", &mut out);
            Ok(())
        }
        Command::Serve(options) => run(options, serve::serve),
        Command::Migrate(options) => run(options, migrate::migrate),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

/// Runs a command by its settings, on a runtime of its own.
fn run<F>(
    options: settings::Options,
    command: impl FnOnce(settings::Settings) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let settings = settings::Settings::read(options)?;
    settings.log();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::other("no threads can be had", &error))?;
    runtime.block_on(command(settings))
}
