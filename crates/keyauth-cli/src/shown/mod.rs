//! How answers are shown: tables for people, JSON for programs.

mod notation;
mod progress;
mod table;

use clap::Args;
use serde_json::Value;

pub(crate) use notation::{Budget, Limit, Metadatum};
pub(crate) use progress::{bytes_bar, lines_bar};
use table::{fields, rows};

use crate::told::{Failure, note, say};

/// In which form.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Form {
    /// Print JSON, as the management API answers: an object, or one a line of a list
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
}

impl Form {
    /// One thing, with these fields before all others.
    pub(crate) fn one(self, value: &Value, first: &[&str]) -> Result<(), Failure> {
        match self.json {
            true => line(value),
            false => say(fields(value, first).as_bytes()),
        }
    }

    /// A part of a list. Headings stand above the first.
    pub(crate) fn some(
        self,
        items: &[Value],
        columns: &[&str],
        is_first: bool,
    ) -> Result<(), Failure> {
        if self.json {
            return items.iter().try_for_each(line);
        }
        if items.is_empty() && is_first {
            note("there are none");
            return Ok(());
        }
        say(rows(items, columns, is_first).as_bytes())
    }

    /// A sentence, where no program reads it.
    pub(crate) fn sentence(self, text: &str) -> Result<(), Failure> {
        match self.json {
            true => Ok(()),
            false => say(format!("{text}\n").as_bytes()),
        }
    }

    pub(crate) const fn is_json(self) -> bool {
        self.json
    }
}

fn line(value: &Value) -> Result<(), Failure> {
    say(format!("{value}\n").as_bytes())
}

/// Text without anything that would move a terminal's cursor, or turn what is written about.
pub(crate) fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => plain.push(c),
            c if c.is_control() || turns(c) => plain.extend(c.escape_unicode()),
            c => plain.push(c),
        }
    }
    plain
}
