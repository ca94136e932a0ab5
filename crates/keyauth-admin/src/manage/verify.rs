//! Decisions for those who do not link this library.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use keyauth_core::{
    Admission, Answered, AppliedLimit, Authenticator, CallDetails, ChargeId, Denial, KeyRecord,
    LedgerErrorKind, LimitDecision, LimitState, LimitStep, LookupError, Parsed, Peek, Problem,
};
use keyauth_tower::Refusal;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::acting::TenantParam;
use super::facts::Facts;
use super::responses::{BodyRefused, Conflicts, NotThere, Refused};
use super::scope::ManagementScope;
use super::scope::needs::Verify;
use super::{Acting, Api};
use crate::problem::ApiError;
use crate::read::{Body, Query};
use crate::wire::{DecisionView, LimitStateView, VerifyBody};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(verify_key))
}

/// A no, and what is known beside it.
struct No {
    denial: Denial,
    retry_after: Option<Duration>,
    limits: Vec<LimitStateView>,
}

impl From<Denial> for No {
    fn from(denial: Denial) -> Self {
        Self { denial, retry_after: None, limits: Vec::new() }
    }
}

/// Decide about a key that was presented.
///
/// For services that do not link the library: by the same steps as its layer, and with the same
/// reasons. It counts as one call, and is charged, at once; places among calls at once are given
/// back with the answer. That there is no answer is told by 503, and is no decision.
#[utoipa::path(
    post, path = "/v1/keys/verify", tag = "decisions",
    params(TenantParam),
    request_body = VerifyBody,
    responses(
        (status = 200, description = "The decision, a yes or a no.", body = DecisionView),
        Refused, NotThere, BodyRefused, Conflicts
    ),
    security(("key" = ["keyauth:verify"]))
)]
async fn verify_key(
    acting: Acting<Verify>,
    State(api): State<Api>,
    Query(..): Query<TenantParam>,
    body: Body<VerifyBody>,
) -> Result<Json<DecisionView>, ApiError> {
    let asked = body.value;
    let facts = Facts::read(
        &asked.scopes,
        asked.address,
        (asked.method.as_deref(), asked.path.as_deref()),
        asked.resource.as_deref(),
    )?;
    let charge = asked.charge.map(|charge| {
        let id = charge.id.map(|id| charge_id(&acting, &id)).transpose()?;
        if charge.amount < keyauth_core::Amount::ZERO {
            return Err(ApiError::from(Problem::new("charge.amount", "must not be negative")));
        }
        if id.is_some() {
            acting.require(ManagementScope::CHARGE_IDS)?;
        }
        Ok((charge.amount, id))
    });
    let charge = charge.transpose()?;
    let cost = asked.cost.unwrap_or(1);

    let Some(record) = find(&api.auth, &acting, &asked.key).await? else {
        return Ok(Json(no(Denial::InvalidKey.into())));
    };
    let admission = match api.auth.judge(record, &facts.borrow()) {
        Ok(admission) => admission,
        Err(denial) => return Ok(Json(no(denial.into()))),
    };
    let applied = admission.record().limits.clone();
    let decision = match api.auth.limit(&admission, cost, true) {
        LimitStep::Decided(decision) => decision,
        LimitStep::Ask(decision) => decision.await?,
    };
    // Its places are held until all is decided.
    let within = match decision {
        LimitDecision::Within(within) => within,
        LimitDecision::Exceeded(exceeded) => {
            return Ok(Json(no(No {
                denial: exceeded.denial,
                retry_after: Some(exceeded.retry_after),
                limits: LimitStateView::all(&applied, &exceeded.states),
            })));
        }
    };
    let details = CallDetails { address: asked.address, limit_cost: cost, ..Default::default() };
    match spend(&api.auth, &admission, details, charge).await? {
        Ok(()) => Ok(Json(yes(&admission, &applied, &within.states))),
        Err(no_budget) => Ok(Json(no(no_budget))),
    }
}

/// What somebody calls a charge, among those of his tenant: charges of all tenants are in one book.
fn charge_id(acting: &Acting<Verify>, id: &str) -> Result<ChargeId, ApiError> {
    let tenant = acting.who.tenant();
    let problem = |_| {
        let message =
            "must be printable ASCII characters without spaces, 1 to 128 with the tenant's";
        ApiError::from(Problem::new("charge.id", message))
    };
    let name = Some(id).filter(|id| !id.is_empty()).unwrap_or(" ");
    // With its length, so that no two tenants and names make one.
    ChargeId::new(format!("{}:{tenant}/{name}", tenant.as_str().len())).map_err(problem)
}

/// The record of a key that is there, for whoever asks.
async fn find(
    auth: &Authenticator,
    acting: &Acting<Verify>,
    key: &str,
) -> Result<Option<Arc<KeyRecord>>, LookupError> {
    let Parsed::Key(key) = auth.parse(key.as_bytes()) else { return Ok(None) };
    let record = match auth.peek(key) {
        Peek::Found(record) => Some(record),
        Peek::Unknown => None,
        _ => auth.find(key).await?,
    };
    Ok(record.filter(|record| acting.sees(&record.key.tenant)))
}

/// Charges the call, and has it recorded.
async fn spend(
    auth: &Authenticator,
    admission: &Admission,
    details: CallDetails,
    charge: Option<(keyauth_core::Amount, Option<ChargeId>)>,
) -> Result<Result<(), No>, ApiError> {
    let Some((open, hold)) = auth.charge(admission, || details) else {
        // Nobody books it: to let it through would be to give it away.
        return if charge.is_some() { Err(ApiError::Unavailable) } else { Ok(Ok(())) };
    };
    let reserved = match charge {
        None => Ok(Ok(())),
        Some((amount, id)) => open.spend(id, amount).await,
    };
    let decided = reserved.map_err(|error| match error.kind() {
        LedgerErrorKind::Conflict => {
            let detail = "Another charge has the same id.".to_owned();
            ApiError::Conflict { code: "charge_conflict", detail }
        }
        LedgerErrorKind::Invalid => Problem::new("charge", "cannot be made").into(),
        _ => ApiError::unavailable(&error),
    })?;
    let decided = decided.map_err(|exhausted| No {
        retry_after: exhausted.retry_after,
        ..Denial::BudgetExhausted.into()
    });
    // What is reserved is what it costs.
    open.answered(match &decided {
        Ok(()) => Answered::Served(200),
        Err(_) => Answered::Failed(429),
    });
    drop(hold);
    Ok(decided)
}

fn yes(admission: &Admission, limits: &[AppliedLimit], states: &[LimitState]) -> DecisionView {
    DecisionView {
        allowed: true,
        code: None,
        detail: None,
        status: 200,
        retry_after: None,
        key: Some(admission.into()),
        limits: LimitStateView::all(limits, states),
    }
}

fn no(No { denial, retry_after, limits }: No) -> DecisionView {
    let refusal = Refusal::of(denial);
    DecisionView {
        allowed: false,
        code: Some(denial.code()),
        detail: Some(refusal.detail()),
        status: refusal.status().as_u16(),
        retry_after: retry_after.map(DecisionView::seconds),
        key: None,
        limits,
    }
}
