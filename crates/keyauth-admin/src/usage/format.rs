//! How calls are written.

use std::borrow::Cow;

use keyauth_core::{StoreError, UsageEvent};
use serde::Serialize;

use super::row::{Call, Columns, Whose, for_sheets};

/// How calls are exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UsageFormat {
    /// One JSON object a line.
    #[default]
    JsonLines,
    /// Comma-separated values with a header (RFC 4180). A text that a spreadsheet would take for a
    /// formula has an apostrophe before it.
    Csv,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    whose: Option<Whose<'a>>,
    #[serde(flatten)]
    call: Call<'a>,
}

impl UsageFormat {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::JsonLines => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    pub(super) const fn content_disposition(self) -> &'static str {
        match self {
            Self::JsonLines => "attachment; filename=\"usage.jsonl\"",
            Self::Csv => "attachment; filename=\"usage.csv\"",
        }
    }

    /// What comes before the first call.
    pub(super) fn header(self, columns: Columns) -> Vec<u8> {
        match self {
            Self::JsonLines => Vec::new(),
            Self::Csv => format!("{}\r\n", columns.names()).into_bytes(),
        }
    }

    pub(super) fn write(
        self,
        columns: Columns,
        calls: &[UsageEvent],
    ) -> Result<Vec<u8>, StoreError> {
        match self {
            Self::JsonLines => {
                let mut bytes = Vec::new();
                for call in calls {
                    let whose = (columns == Columns::All).then(|| Whose::of(call, Cow::Borrowed));
                    let line = Line { whose, call: Call::of(call, Cow::Borrowed) };
                    serde_json::to_writer(&mut bytes, &line).map_err(StoreError::unavailable)?;
                    bytes.push(b'\n');
                }
                Ok(bytes)
            }
            Self::Csv => {
                let mut writer = csv::WriterBuilder::new();
                // Not by the rows, since there may be none.
                writer.has_headers(false).terminator(csv::Terminator::CRLF);
                let mut writer = writer.from_writer(Vec::new());
                for call in calls {
                    let row = Call::of(call, for_sheets);
                    let written = match columns {
                        Columns::Own => writer.serialize(row),
                        Columns::All => writer.serialize((Whose::of(call, for_sheets), row)),
                    };
                    written.map_err(StoreError::unavailable)?;
                }
                writer.into_inner().map_err(|error| StoreError::unavailable(error.to_string()))
            }
        }
    }
}
