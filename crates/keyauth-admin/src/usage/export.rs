//! Calls, one after the other, however many they are.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use keyauth_core::{LimitedSubject, Period, StoreError, UsageEvent, UsageExport, UsageReader};

use super::UsageFormat;
use super::row::Columns;
use crate::problem::ApiError;

/// Answers with all calls of somebody that began in a period, for an operator's handler: whose they are
/// is not for this to ask.
///
/// It is read page by page as it is sent. Where that fails on the way the connection is cut off, so
/// that a part is not taken for the whole.
///
/// # Errors
///
/// [`ApiError`], which answers for itself, where the first page cannot be read.
pub async fn export_usage(
    reader: impl UsageReader + 'static,
    of: LimitedSubject,
    period: Period,
    format: UsageFormat,
) -> Result<Response, ApiError> {
    reader.flush().await?;
    let pages = AllPages { reader, export: UsageExport::new(of, period) };
    Ok(respond(pages, format, Columns::All).await?)
}

/// Where calls come from.
pub(crate) trait Pages: Send + 'static {
    /// The next ones; none after the last.
    fn next_page(&mut self) -> impl Future<Output = Result<Vec<UsageEvent>, StoreError>> + Send;
}

struct AllPages<R> {
    reader: R,
    export: UsageExport,
}

impl<R: UsageReader + 'static> Pages for AllPages<R> {
    async fn next_page(&mut self) -> Result<Vec<UsageEvent>, StoreError> {
        self.export.next_page(&self.reader).await
    }
}

/// Answers once the first page is read: what cannot be read at all is no answer that breaks off.
pub(crate) async fn respond(
    mut pages: impl Pages,
    format: UsageFormat,
    columns: Columns,
) -> Result<Response, StoreError> {
    let mut first = format.header(columns);
    first.extend(format.write(columns, &pages.next_page().await?)?);
    let rest = stream::try_unfold(pages, move |mut pages| async move {
        let page = pages.next_page().await.inspect_err(|error| {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "an export of usage breaks off");
        })?;
        if page.is_empty() {
            return Ok(None);
        }
        let bytes = Bytes::from(format.write(columns, &page)?);
        Ok::<_, StoreError>(Some((bytes, pages)))
    });
    let all = stream::iter([Ok(Bytes::from(first))]).chain(rest);
    let mut response = Response::new(Body::from_stream(all));
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, format.content_type()),
        (CONTENT_DISPOSITION, format.content_disposition()),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}
