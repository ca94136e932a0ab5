//! What was found: a table, and a file for programs.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};

use crate::rounds::Rounds;

/// What is promised of a ratio.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// It is measured, and nothing is promised.
    None,
}

impl Bound {
    fn holds(self, ratio: f64) -> Option<bool> {
        match self {
            Self::AtMost(most) => Some(ratio <= most),
            Self::AtLeast(least) => Some(ratio >= least),
            Self::None => None,
        }
    }

    fn figure(self) -> Option<f64> {
        match self {
            Self::AtMost(figure) | Self::AtLeast(figure) => Some(figure),
            Self::None => None,
        }
    }
}

/// One comparison.
#[derive(Debug)]
pub(crate) struct Row {
    /// What is compared with what.
    what: String,
    ours: f64,
    baseline: f64,
    ratio: f64,
    bound: Bound,
}

impl Row {
    /// Of two things, ours first and the other last: a time by a time.
    pub(crate) fn of<const N: usize>(what: &'static str, rounds: &Rounds<N>, bound: Bound) -> Self {
        let (ours, baseline) = (|times: [f64; N]| times[0], |times: [f64; N]| times[N - 1]);
        Self {
            what: what.to_owned(),
            ours: rounds.median(ours),
            baseline: rounds.median(baseline),
            ratio: rounds.median(|times| match bound {
                // At least so fast: a rate by a rate.
                Bound::AtLeast(_) => baseline(times) / ours(times),
                Bound::AtMost(_) | Bound::None => ours(times) / baseline(times),
            }),
            bound,
        }
    }

    /// What two things add to a third one, which comes first.
    pub(crate) fn added(what: &'static str, rounds: &Rounds<3>, bound: Bound) -> Self {
        Self {
            what: what.to_owned(),
            ours: rounds.median(|[bare, ours, _]| ours - bare),
            baseline: rounds.median(|[bare, _, baseline]| baseline - bare),
            ratio: rounds.median(|[bare, ours, baseline]| (ours - bare) / (baseline - bare)),
            bound,
        }
    }
}

impl Row {
    /// Says more.
    pub(crate) fn note(self, note: &str) -> Self {
        Self { what: format!("{}; {note}", self.what), ..self }
    }
}

/// All rows so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<(&'static str, Option<Row>)>,
}

impl Report {
    pub(crate) fn begin(&mut self, name: &'static str) {
        self.rows.push((name, None));
        print!("{name:<32}");
        // That it shows what is under way.
        let _ = std::io::stdout().flush();
    }

    /// Adds what the row that was begun has found, or why it found nothing.
    pub(crate) fn add(&mut self, row: Result<Row, String>) {
        match &row {
            Ok(row) => println!("{:.2}", row.ratio),
            Err(why) => println!("not measured: {why}"),
        }
        if let Some((_, last)) = self.rows.last_mut() {
            *last = row.ok();
        }
    }

    /// Prints and writes it all. A success where every bound holds.
    pub(crate) fn finish(self) -> ExitCode {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header(["name", "ours, ns", "baseline, ns", "ratio", "bound", "holds", "what"]);
        for (name, row) in &self.rows {
            let Some(row) = row else {
                table.add_row([*name, "", "", "", "", "not measured", ""]);
                continue;
            };
            let bound = match row.bound {
                Bound::AtMost(most) => format!("at most {most}"),
                Bound::AtLeast(least) => format!("at least {least}"),
                Bound::None => String::new(),
            };
            let holds =
                row.bound.holds(row.ratio).map_or("", |holds| if holds { "yes" } else { "NO" });
            let [ours, baseline] = [row.ours, row.baseline].map(|time| format!("{time:.0}"));
            let ratio = format!("{:.2}", row.ratio);
            table.add_row([*name, &ours, &baseline, &ratio, &bound, holds, &row.what]);
        }
        for column in 1..4 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        println!("\n{table}");
        let written = self.write();
        let fails = self.rows.iter().any(|(_, row)| {
            row.as_ref().is_some_and(|row| row.bound.holds(row.ratio) == Some(false))
        });
        match written {
            Ok(()) if !fails => ExitCode::SUCCESS,
            Ok(()) => ExitCode::FAILURE,
            Err(error) => {
                println!("the figures cannot be written: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn write(&self) -> std::io::Result<()> {
        let rows: Vec<Value> =
            self.rows.iter().map(|(name, row)| to_json(name, row.as_ref())).collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        fs::create_dir_all(&folder)?;
        let text = serde_json::to_string_pretty(&rows).unwrap_or_default();
        fs::write(folder.join("keyauth-bench.json"), text + "\n")
    }
}

/// A row that was not measured has no figures, and does not hold.
fn to_json(name: &str, row: Option<&Row>) -> Value {
    let Some(row) = row else {
        return json!({
            "name": name, "ours_ns": null, "baseline_ns": null, "ratio": null, "bound": null,
            "holds": false,
        });
    };
    let rounded = |figure: f64, by: f64| (figure * by).round() / by;
    json!({
        "name": name,
        "ours_ns": rounded(row.ours, 10.0),
        "baseline_ns": rounded(row.baseline, 10.0),
        "ratio": rounded(row.ratio, 1_000.0),
        "bound": row.bound.figure(),
        "holds": row.bound.holds(row.ratio),
    })
}
