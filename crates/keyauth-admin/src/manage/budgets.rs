//! How budgets stand.

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::{NotThere, Refused};
use super::scope::needs::{BudgetsRead, BudgetsWrite};
use super::subject::SubjectParams;
use super::{Acting, Api};
use crate::problem::ApiError;
use crate::read::Query;
use crate::wire::BudgetStateView;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(read_budgets))
        .routes(routes!(reset_budget))
        .routes(routes!(give_back_lost))
}

/// Which of the budgets.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct BudgetParam {
    /// The budget's name.
    #[param(min_length = 1, max_length = 64)]
    name: String,
}

/// Read how budgets stand.
///
/// Of a key, with those of all it belongs to.
#[utoipa::path(
    get, path = "/v1/budgets", tag = "budgets",
    params(SubjectParams),
    responses((status = 200, description = "The budgets.", body = Vec<BudgetStateView>), Refused, NotThere),
    security(("key" = ["keyauth:budgets:read"]))
)]
async fn read_budgets(
    acting: Acting<BudgetsRead>,
    Query(whose, ..): Query<SubjectParams>,
) -> Result<Json<Vec<BudgetStateView>>, ApiError> {
    let budgets = whose.read()?.terms(&acting).await?.budgets();
    Ok(Json(acting.budget_states(budgets).await?))
}

/// Have a budget begin anew.
///
/// Nothing of it is used, overrun or lost then. What is reserved stays so. That of a tenant needs
/// `keyauth:all-tenants` as well.
#[utoipa::path(
    post, path = "/v1/budgets/reset", tag = "budgets",
    params(SubjectParams, BudgetParam),
    responses((status = 204, description = "It begins anew."), Refused, NotThere),
    security(("key" = ["keyauth:budgets:write"]))
)]
async fn reset_budget(
    acting: Acting<BudgetsWrite>,
    Query(whose, budget, _): Query<SubjectParams, BudgetParam>,
) -> Result<StatusCode, ApiError> {
    let whose = whose.read()?;
    whose.require_right(&acting)?;
    let budget = whose.terms(&acting).await?.own_budget(&budget.name)?;
    acting.store.reset_budget(budget).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give back what was lost of a budget.
///
/// Whoever had it and comes back after all is charged what he settles.
#[utoipa::path(
    post, path = "/v1/budgets/give-back-lost", tag = "budgets",
    params(SubjectParams, BudgetParam),
    responses((status = 204, description = "It is given back."), Refused, NotThere),
    security(("key" = ["keyauth:budgets:write"]))
)]
async fn give_back_lost(
    acting: Acting<BudgetsWrite>,
    Query(whose, budget, _): Query<SubjectParams, BudgetParam>,
) -> Result<StatusCode, ApiError> {
    let whose = whose.read()?;
    whose.require_right(&acting)?;
    let budget = whose.terms(&acting).await?.own_budget(&budget.name)?;
    acting.store.give_back_lost(budget).await?;
    Ok(StatusCode::NO_CONTENT)
}
