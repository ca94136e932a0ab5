//! Why a key is let through, or is not.

use axum::Json;
use axum::extract::State;
use keyauth_core::{Explanation, FoundIn, KeyId};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::acting::TenantParam;
use super::facts::Facts;
use super::path::At;
use super::responses::{BodyRefused, NotThere, Refused};
use super::scope::needs::Explain;
use super::{Acting, Api};
use crate::problem::ApiError;
use crate::read::{Body, Query};
use crate::wire::{ExplainBody, ExplainKeyBody, ExplanationView};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(explain_presented_key)).routes(routes!(explain_key))
}

/// Explain what becomes of a key that was presented, and of a request.
///
/// By the same steps as the layer, without counting anything: what every station says, how limits
/// and budgets stand, and where the record was found.
#[utoipa::path(
    post, path = "/v1/keys/explain", tag = "decisions",
    params(TenantParam),
    request_body = ExplainKeyBody,
    responses(
        (status = 200, description = "What becomes of it, and why.", body = ExplanationView),
        Refused, NotThere, BodyRefused
    ),
    security(("key" = ["keyauth:explain"]))
)]
async fn explain_presented_key(
    acting: Acting<Explain>,
    State(api): State<Api>,
    Query(..): Query<TenantParam>,
    body: Body<ExplainKeyBody>,
) -> Result<Json<ExplanationView>, ApiError> {
    let facts = facts(&body.value.request)?;
    let explanation = api.auth.explain(&body.value.key, &facts.borrow()).await?;
    match &explanation {
        Explanation::Known(known) if !acting.sees(&known.record.key.tenant) => {
            Ok(Json(ExplanationView::unknown()))
        }
        _ => tell(&acting, &explanation).await,
    }
}

/// Explain what becomes of a key, by its newest secret, and of a request.
///
/// As it stands in the store.
#[utoipa::path(
    post, path = "/v1/keys/{key}/explain", tag = "decisions",
    params(("key" = String, Path, format = "uuid", description = "Its id."), TenantParam),
    request_body = ExplainBody,
    responses(
        (status = 200, description = "What becomes of it, and why.", body = ExplanationView),
        Refused, NotThere, BodyRefused
    ),
    security(("key" = ["keyauth:explain"]))
)]
async fn explain_key(
    acting: Acting<Explain>,
    State(api): State<Api>,
    At(key): At<KeyId>,
    Query(..): Query<TenantParam>,
    body: Body<ExplainBody>,
) -> Result<Json<ExplanationView>, ApiError> {
    let facts = facts(&body.value)?;
    let Some(record) = acting.store.record(acting.key(key)).await? else {
        return Ok(Json(ExplanationView::never_presented()));
    };
    let known = api.auth.explain_record(record, FoundIn::Lookup, &facts.borrow()).await?;
    tell(&acting, &Explanation::Known(Box::new(known))).await
}

fn facts(body: &ExplainBody) -> Result<Facts<'_>, ApiError> {
    let endpoint = (body.method.as_deref(), body.path.as_deref());
    Facts::read(&body.scopes, body.address, endpoint, body.resource.as_deref())
}

/// With how its budgets stand.
async fn tell(
    acting: &Acting<Explain>,
    explanation: &Explanation,
) -> Result<Json<ExplanationView>, ApiError> {
    let budgets = match explanation {
        Explanation::Known(known) => known.record.charged_budgets(),
        _ => Vec::new(),
    };
    let budgets = acting.budget_states(budgets).await?;
    Ok(Json(ExplanationView::new(explanation, budgets)))
}
