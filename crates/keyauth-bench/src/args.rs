//! The command line.

use std::path::PathBuf;

use clap::Parser;
use clap::builder::PossibleValuesParser;

use crate::rows;

/// Measures keyauth beside the same written by hand, prints a table, and writes
/// target/keyauth-bench.json. It starts the servers it needs, and ends them.
#[derive(Debug, Parser)]
#[command(name = "keyauth-bench")]
pub(crate) struct Args {
    /// Fewer rounds: under two minutes in all, and less certain.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only this row; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(rows::names()))]
    only: Vec<String>,
    /// Makes ten million keys in PostgreSQL and measures nothing; they are kept.
    #[arg(long)]
    pub(crate) make_data: bool,
    /// Measures how figures grow with what there is, and draws them into a folder, instead of the rows.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) growth: Option<PathBuf>,
}

impl Args {
    /// Whether a row is to be measured.
    pub(crate) fn names(&self, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == row)
    }
}
