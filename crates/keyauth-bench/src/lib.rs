//! What keyauth costs, each beside the same written by hand: measured in turn in one run, so that
//! what else the machine does meets both, and held against a bound.
//!
//! `just bench` runs it; see `docs/performance.md` for what it found.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program that prints figures, and fails by panicking"
)]

mod args;
mod awake;
mod bench;
pub mod by_hand;
mod client;
mod data;
pub mod fixture;
mod given;
mod growth;
mod plot;
mod report;
mod rounds;
mod rows;

use std::process::ExitCode;

use args::Args;
use bench::Bench;
use clap::Parser;
use report::Report;

/// Runs the rows that the command line of this process names, and writes what they found.
#[must_use]
pub fn main() -> ExitCode {
    // As a server of its own, to be asked by itself.
    if std::env::args().nth(1).is_some_and(|argument| argument == "serve") {
        return keyauth_cli::main();
    }
    let args = Args::parse();
    let bench = Bench::new(args.quick);
    if args.make_data {
        bench.block_on(data::Kept::make());
        return ExitCode::SUCCESS;
    }
    if let Some(folder) = args.growth {
        growth::measure(&bench, &folder);
        return ExitCode::SUCCESS;
    }
    let mut report = Report::default();
    for (name, row) in rows::ALL {
        if args.names(name) {
            report.begin(name);
            report.add(row(&bench));
        }
    }
    report.finish()
}
