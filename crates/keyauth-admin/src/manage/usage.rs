//! What others have used, for operators.

use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use keyauth_core::{KeyId, StoreError, UsageExport, UsageLine, UsageQuery, UsageReader};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::{NotThere, Refused};
use super::scope::needs::UsageRead;
use super::subject::SubjectParams;
use super::{Acting, Api};
use crate::problem::ApiError;
use crate::read::Query;
use crate::usage::{
    Answer, CallsAsked, CallsParams, Columns, PacedPages, PeriodParams, Turns, UsageAsked,
    UsageFormat, UsageParams, respond,
};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(read_usage)).routes(routes!(export_calls))
}

type Reading<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A [`UsageReader`] behind a pointer, at which each key that asks has its turn: what requests need
/// of the database stays theirs.
pub(super) trait DynUsage: Send + Sync {
    fn read(
        &self,
        key: Option<KeyId>,
        query: UsageQuery,
    ) -> Reading<'_, Result<Vec<UsageLine>, StoreError>>;

    fn export(
        &self,
        key: Option<KeyId>,
        export: UsageExport,
        format: UsageFormat,
    ) -> Reading<'_, Result<Response, StoreError>>;
}

/// A reader, and the turns at it.
pub(super) struct Paced<R> {
    reader: R,
    turns: Arc<Turns>,
}

impl<R> Paced<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, turns: Arc::new(Turns::new()) }
    }
}

impl<R: UsageReader + Clone + 'static> DynUsage for Paced<R> {
    fn read(
        &self,
        key: Option<KeyId>,
        query: UsageQuery,
    ) -> Reading<'_, Result<Vec<UsageLine>, StoreError>> {
        let (flushing, reader) = (self.reader.clone(), self.reader.clone());
        let flush = async move { flushing.flush().await };
        let read = async move { reader.usage(&query).await };
        Box::pin(self.turns.take(key, flush, read))
    }

    fn export(
        &self,
        key: Option<KeyId>,
        export: UsageExport,
        format: UsageFormat,
    ) -> Reading<'_, Result<Response, StoreError>> {
        let (reader, turns) = (self.reader.clone(), Arc::clone(&self.turns));
        let pages = PacedPages::new(reader, turns, key, export);
        Box::pin(respond(pages, format, Columns::All))
    }
}

/// Read what was used.
///
/// By a key, an owner, a group or the tenant: of today in UTC, unless another time is named.
#[utoipa::path(
    get, path = "/v1/usage", tag = "usage",
    params(SubjectParams, PeriodParams, UsageParams),
    responses((status = 200, description = "The sums.", body = Answer), Refused, NotThere),
    security(("key" = ["keyauth:usage:read"]))
)]
async fn read_usage(
    acting: Acting<UsageRead>,
    State(api): State<Api>,
    Query(whose, period, params): Query<SubjectParams, PeriodParams, UsageParams>,
) -> Result<Json<Answer>, ApiError> {
    let of = whose.read()?.subject(&acting);
    let asked = UsageAsked::read(period, params, api.clock.now())?;
    let lines =
        api.usage.read(acting.who.key_id(), asked.query(of).map_err(StoreError::from)?).await?;
    Ok(Json(Answer::new(&asked, lines, None)))
}

/// Export calls.
///
/// As they are sent they are read, however many they are.
#[utoipa::path(
    get, path = "/v1/usage/calls", tag = "usage",
    params(SubjectParams, PeriodParams, CallsParams),
    responses(
        (status = 200, description = "The calls, one a line.",
         content((String = "application/x-ndjson"), (String = "text/csv"))),
        Refused, NotThere
    ),
    security(("key" = ["keyauth:usage:read"]))
)]
async fn export_calls(
    acting: Acting<UsageRead>,
    State(api): State<Api>,
    Query(whose, period, params): Query<SubjectParams, PeriodParams, CallsParams>,
) -> Result<Response, ApiError> {
    let of = whose.read()?.subject(&acting);
    let asked = CallsAsked::read(period, &params, api.clock.now())?;
    let export = UsageExport::new(of, asked.period);
    Ok(api.usage.export(acting.who.key_id(), export, asked.format).await?)
}
