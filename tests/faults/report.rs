//! What came of it: a row for each promise.

use std::fmt::Display;

use serde::Serialize;

/// One promise, its figure and whether that is within the bound.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    promise: String,
    figure: String,
    bound: String,
    holds: bool,
}

/// All rows.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    pub(crate) totals: Totals,
}

/// What all histories together have come to.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) requests: usize,
    /// Revokes that returned complete.
    pub(crate) complete: usize,
    pub(crate) revoked_admitted: usize,
    pub(crate) unknown_admitted: usize,
    pub(crate) good_refused: usize,
    /// With Redis away, slow or empty.
    pub(crate) good_refused_by_redis: usize,
    pub(crate) good_asked_without_redis: usize,
    /// Calls on record, that should be and are not, and that are there twice.
    pub(crate) usage: usize,
    pub(crate) usage_lost: usize,
    pub(crate) usage_twice: usize,
}

impl Report {
    /// Adds a row, and shows it.
    pub(crate) fn row(
        &mut self,
        promise: impl Into<String>,
        figure: impl Display,
        bound: impl Display,
        holds: bool,
    ) {
        let (figure, bound) = (figure.to_string(), bound.to_string());
        let row = Row { promise: promise.into(), figure, bound, holds };
        let verdict = if holds { "holds" } else { "DOES NOT HOLD" };
        say(&format!("{verdict}: {}: {} (bound: {})", row.promise, row.figure, row.bound));
        self.rows.push(row);
    }

    /// Adds a row of something that must not happen, of so many times that it could have.
    pub(crate) fn never(&mut self, promise: impl Into<String>, count: usize, of: impl Display) {
        self.row(promise, format!("{count} of {of}"), 0, count == 0);
    }

    /// Adds a row of a scenario that has not come to its end.
    pub(crate) fn broken_off(&mut self, why: &str) {
        self.row("all that was asked for has been run", why, "", false);
    }

    /// Adds rows about all histories together.
    pub(crate) fn sum_up(&mut self) {
        let totals = std::mem::take(&mut self.totals);
        if totals.requests > 0 {
            let of = format!("{} requests, {} such revokes", totals.requests, totals.complete);
            let promise = "200s for requests that start after a waiting revoke returned complete, \
                           under every fault";
            self.never(promise, totals.revoked_admitted, of);
            self.never("good key refused, whatever is down", totals.good_refused, totals.requests);
            let promise = "unknown key admitted, whatever is down";
            self.never(promise, totals.unknown_admitted, totals.requests);
        }
        if totals.good_asked_without_redis > 0 {
            let promise = "valid key refused because Redis is down, slow, frozen or flushed";
            self.never(promise, totals.good_refused_by_redis, totals.good_asked_without_redis);
        }
        if totals.usage > 0 {
            let of = format!("{} calls", totals.usage);
            let promise = "usage lost when PostgreSQL is down for a minute, or on SIGTERM";
            self.never(promise, totals.usage_lost, &of);
            self.never("usage counted twice, whatever happens", totals.usage_twice, of);
        }
    }

    /// Writes the rows down, shows them, and says whether all hold.
    pub(crate) fn finish(&self, file: &std::path::Path) -> bool {
        let json = serde_json::to_string_pretty(&self.rows).expect("rows");
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).expect("a folder");
        }
        std::fs::write(file, json + "\n").expect("written");
        say("\n| promise | figure | bound | holds |\n| --- | --- | --- | --- |");
        for Row { promise, figure, bound, holds } in &self.rows {
            let holds = if *holds { "yes" } else { "**no**" };
            say(&format!("| {promise} | {figure} | {bound} | {holds} |"));
        }
        // Where nothing was run nothing was shown.
        !self.rows.is_empty() && self.rows.iter().all(|row| row.holds)
    }
}

/// Says something to whoever watches.
#[expect(clippy::print_stdout, reason = "figures are for people")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
