//! How limits stand.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::{NotThere, Refused};
use super::scope::needs::{LimitsRead, LimitsWrite};
use super::subject::SubjectParams;
use super::{Acting, Api};
use crate::problem::ApiError;
use crate::read::Query;
use crate::wire::LimitStateView;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(read_limits)).routes(routes!(reset_limits))
}

/// Read how limits stand.
///
/// Of a key, with those of all it belongs to. Empty where nobody enforces them.
#[utoipa::path(
    get, path = "/v1/limits", tag = "limits",
    params(SubjectParams),
    responses((status = 200, description = "The limits.", body = Vec<LimitStateView>), Refused, NotThere),
    security(("key" = ["keyauth:limits:read"]))
)]
async fn read_limits(
    acting: Acting<LimitsRead>,
    State(api): State<Api>,
    Query(whose, ..): Query<SubjectParams>,
) -> Result<Json<Vec<LimitStateView>>, ApiError> {
    let whose = whose.read()?;
    let limited = whose.terms(&acting).await?.limited();
    let Some(limited) = limited else { return Ok(Json(Vec::new())) };
    let states = api.auth.limits_of(limited.clone()).await?;
    // To a limiter one who is asked for alone stands for itself, whatever it is.
    let mut limits = limited.limits().to_vec();
    if let Some(counted) = whose.counted() {
        limits.iter_mut().for_each(|limit| limit.counted = counted);
    }
    Ok(Json(LimitStateView::all(&limits, &states)))
}

/// Have the limits of a key, an owner, a group or the tenant begin anew.
///
/// What is under way goes on counting, and so do the limits of others. Those of a tenant need
/// `keyauth:all-tenants` as well.
#[utoipa::path(
    post, path = "/v1/limits/reset", tag = "limits",
    params(SubjectParams),
    responses((status = 204, description = "They begin anew."), Refused, NotThere),
    security(("key" = ["keyauth:limits:write"]))
)]
async fn reset_limits(
    acting: Acting<LimitsWrite>,
    State(api): State<Api>,
    Query(whose, ..): Query<SubjectParams>,
) -> Result<StatusCode, ApiError> {
    let whose = whose.read()?;
    whose.require_right(&acting)?;
    // Only of what is there.
    whose.terms(&acting).await?;
    api.auth.reset_limits(whose.subject(&acting)).await?;
    Ok(StatusCode::NO_CONTENT)
}
