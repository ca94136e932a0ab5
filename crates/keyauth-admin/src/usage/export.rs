//! Calls, one after the other, however many they are.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use keyauth_core::{LimitedSubject, StoreError, UsageEvent, UsageExport, UsageReader};

use super::OwnUsage;
use super::parameters::CallsAsked;
use super::row::Row;
use crate::problem::Failure;

/// How calls are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// One object a line.
    #[default]
    JsonLines,
    /// Comma-separated values with a header (RFC 4180).
    Csv,
}

/// What is still to be sent.
struct Sending<R> {
    own: OwnUsage<R>,
    export: UsageExport,
    format: Format,
}

/// Answers once the first page is read: what cannot be read at all is no answer that breaks off.
pub(super) async fn respond<R: UsageReader + Clone + 'static>(
    own: OwnUsage<R>,
    of: LimitedSubject,
    asked: CallsAsked,
) -> Result<Response, Failure> {
    let mut sending =
        Sending { own, export: UsageExport::new(of, asked.period), format: asked.format };
    let first = sending.next_page().await?;
    let mut bytes = asked.format.header();
    bytes.extend(asked.format.write(&first)?);
    let rest = stream::try_unfold(sending, async |mut sending| {
        let page = sending.next_page().await.inspect_err(|error| {
            // The connection is cut off, so that nobody takes this for the end.
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "an export of usage breaks off");
        })?;
        if page.is_empty() {
            return Ok(None);
        }
        let bytes = Bytes::from(sending.format.write(&page)?);
        Ok::<_, StoreError>(Some((bytes, sending)))
    });
    let first = stream::iter([Ok(Bytes::from(bytes))]);
    let mut response = Response::new(Body::from_stream(stream::StreamExt::chain(first, rest)));
    let headers = response.headers_mut();
    let (kind, name) = match asked.format {
        Format::JsonLines => ("application/x-ndjson", "attachment; filename=\"usage.jsonl\""),
        Format::Csv => {
            ("text/csv; charset=utf-8; header=present", "attachment; filename=\"usage.csv\"")
        }
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(name));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl<R: UsageReader + Clone + 'static> Sending<R> {
    async fn next_page(&mut self) -> Result<Vec<UsageEvent>, StoreError> {
        self.own.in_turn(self.export.next_page(self.own.reader())).await
    }
}

impl Format {
    /// What comes before the first call.
    fn header(self) -> Vec<u8> {
        match self {
            Self::JsonLines => Vec::new(),
            Self::Csv => format!("{}\r\n", Row::COLUMNS.join(",")).into_bytes(),
        }
    }

    fn write(self, calls: &[UsageEvent]) -> Result<Vec<u8>, StoreError> {
        match self {
            Self::JsonLines => {
                let mut bytes = Vec::new();
                for call in calls {
                    serde_json::to_writer(&mut bytes, &Row::exact(call))
                        .map_err(StoreError::unavailable)?;
                    bytes.push(b'\n');
                }
                Ok(bytes)
            }
            Self::Csv => {
                let mut writer = csv::WriterBuilder::new();
                writer.has_headers(false).terminator(csv::Terminator::CRLF);
                let mut writer = writer.from_writer(Vec::new());
                for call in calls {
                    writer.serialize(Row::for_sheets(call)).map_err(StoreError::unavailable)?;
                }
                writer.into_inner().map_err(|error| StoreError::unavailable(error.to_string()))
            }
        }
    }
}
