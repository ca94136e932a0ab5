//! What others have used, for operators.

use std::pin::Pin;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use keyauth_core::{LimitedSubject, Period, StoreError, UsageLine, UsageQuery, UsageReader};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::{NotThere, Refused};
use super::scope::needs::UsageRead;
use super::subject::SubjectParams;
use super::{Acting, Api};
use crate::problem::ApiError;
use crate::read::Query;
use crate::usage::{
    Answer, CallsAsked, CallsParams, PeriodParams, UsageAsked, UsageFormat, UsageParams,
    export_usage,
};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(read_usage)).routes(routes!(export_calls))
}

type Reading<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A [`UsageReader`] behind a pointer.
pub(super) trait DynUsage: Send + Sync {
    fn read(&self, query: UsageQuery) -> Reading<'_, Result<Vec<UsageLine>, StoreError>>;

    fn export(
        &self,
        of: LimitedSubject,
        period: Period,
        format: UsageFormat,
    ) -> Reading<'_, Result<Response, ApiError>>;
}

impl<R: UsageReader + Clone + 'static> DynUsage for R {
    fn read(&self, query: UsageQuery) -> Reading<'_, Result<Vec<UsageLine>, StoreError>> {
        Box::pin(async move {
            self.flush().await?;
            self.usage(&query).await
        })
    }

    fn export(
        &self,
        of: LimitedSubject,
        period: Period,
        format: UsageFormat,
    ) -> Reading<'_, Result<Response, ApiError>> {
        Box::pin(export_usage(self.clone(), of, period, format))
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
    let lines = api.usage.read(asked.query(of).map_err(StoreError::from)?).await?;
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
    api.usage.export(of, asked.period, asked.format).await
}
